// One product in a browser.

const [HEIGHT, WIDTH] = data.shape;
const canvas = byId("view"), pen = canvas.getContext("2d");
const LAYERS = {
  measured: "as measured", bicubic: "bicubic", product: "product",
  difference: "product minus bicubic", uncertainty: "uncertainty", flag: "flags",
};
if (data.guide) LAYERS.guide = "guide";
if (data.overview.learned) LAYERS.learned = "what the network added";
const KELVIN = new Set(["measured", "bicubic", "product"]);
const state = {
  left: "measured", right: "product", divider: 0.5, low: data.range_k[0], high: data.range_k[1], colors: "turbo",
  unit: "K", row: HEIGHT / 2, column: WIDTH / 2, zoom: 1, tool: "point", pixel: null, ends: [], drag: null,
};
const whole = {};  // layers that are not on the product's pixels: name to { layer, step }, in product pixels
let overview = null, windows = [], painted = new Map();

// ---- pixels -------------------------------------------------------------------------------------------------

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) bytes[k] = letters.charCodeAt(k);  // several times as fast as `from`
  return bytes;
}

async function inflate(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function kelvinOf(layer) {
  const bytes = await inflate(layer.bytes), count = layer.height * layer.width;
  const values = new Float32Array(count);
  for (let row = 0, k = 0; row < layer.height; row++) {
    for (let column = 0, code = 0; column < layer.width; column++, k++) {
      code = (code + bytes[k] + 256 * bytes[count + k]) & 65535;
      values[k] = code === 0 ? NaN : layer.offset_k + (code - 1) * layer.step_k;
    }
  }
  return { height: layer.height, width: layer.width, values };
}

async function layersOf(packed) {
  const names = Object.keys(packed).filter((name) => name !== "flag");
  const kelvin = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await kelvinOf(packed[name])])));
  const { product, bicubic } = kelvin;
  const flag = { height: packed.flag.height, width: packed.flag.width, values: await inflate(packed.flag.bytes) };
  const difference = { ...product, values: product.values.map((value, k) => value - bicubic.values[k]) };
  return { ...kelvin, flag, difference };
}

function windowAt(row, column) {
  return windows.find((one) => row >= one.row && column >= one.column &&
    row < one.row + one.layers.product.height && column < one.column + one.layers.product.width);
}

// The value of a layer at a pixel of the product; of block means where only those were sent.
function valueAt(name, row, column) {
  let layer, at, across;
  if (name in whole) {
    const step = whole[name].step;
    [layer, at, across] = [whole[name].layer, Math.floor(row / step), Math.floor(column / step)];
  } else {
    const exact = data.factor > 1 ? windowAt(row, column) : undefined;
    [layer, at, across] = exact
      ? [exact.layers[name], row - exact.row, column - exact.column]
      : [overview[name], Math.floor(row / data.factor), Math.floor(column / data.factor)];
  }
  return layer.values[at * layer.width + across];
}

const exactAt = (row, column) => data.factor === 1 || windowAt(row, column) !== undefined;

// ---- colors -------------------------------------------------------------------------------------------------

const palettes = Object.fromEntries(Object.entries(data.palettes).map(
  ([name, text]) => [name, bytesOf(text)]));

function limitsOf(name) {
  if (KELVIN.has(name)) return [state.low, state.high, state.colors];
  if (name === "difference" || name === "learned") return [-data.difference_k, data.difference_k, "difference"];
  if (name === "guide") return [...data.guide_range, "guide"];
  return [0, data.uncertainty_k, "uncertainty"];
}

function paint(layer, name) {
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [layer.width, layer.height];
  const target = picture.getContext("2d"), image = target.createImageData(layer.width, layer.height);
  const [low, high, colors] = name === "flag" ? [0, 1, ""] : limitsOf(name);
  for (let k = 0, to = 0; k < layer.values.length; k++, to += 4) {
    const value = layer.values[k];
    if (Number.isNaN(value)) continue;
    let from, table;
    if (name === "flag") [table, from] = [palettes.flag, 3 * Math.min(value, palettes.flag.length / 3 - 1)];
    else {
      const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
      [table, from] = [palettes[colors], 3 * Math.round(share * 255)];
    }
    image.data[to] = table[from];
    image.data[to + 1] = table[from + 1];
    image.data[to + 2] = table[from + 2];
    image.data[to + 3] = 255;
  }
  target.putImageData(image, 0, 0);
  return picture;
}

function picturesOf(name) {
  if (!painted.has(name)) {
    const { layer, step } = whole[name] ?? { layer: overview[name], step: data.factor };
    const pieces = [{ picture: paint(layer, name), row: 0, column: 0, step }];
    if (!(name in whole)) {
      for (const one of windows) {
        pieces.push({ picture: paint(one.layers[name], name), row: one.row, column: one.column, step: 1 });
      }
    }
    painted.set(name, pieces);
  }
  return painted.get(name);
}

// ---- drawing ------------------------------------------------------------------------------------------------

const ratio = () => window.devicePixelRatio || 1;
const toScreen = (row, column) => [
  canvas.width / 2 + (column - state.column) * state.zoom, canvas.height / 2 + (row - state.row) * state.zoom];
const toPixel = (x, y) => [
  state.row + (y - canvas.height / 2) / state.zoom, state.column + (x - canvas.width / 2) / state.zoom];
const inside = (row, column) => row >= 0 && column >= 0 && row < HEIGHT && column < WIDTH;

function drawSide(name, from, to) {
  pen.save();
  pen.beginPath();
  pen.rect(from, 0, to - from, canvas.height);
  pen.clip();
  for (const piece of picturesOf(name)) {
    const [x, y] = toScreen(piece.row, piece.column);
    const width = Math.min(piece.picture.width * piece.step, WIDTH - piece.column) * state.zoom;
    const height = Math.min(piece.picture.height * piece.step, HEIGHT - piece.row) * state.zoom;
    pen.imageSmoothingEnabled = piece.step * state.zoom < 1;
    pen.drawImage(piece.picture, 0, 0, width / state.zoom / piece.step, height / state.zoom / piece.step,
      x, y, width, height);
  }
  pen.restore();
}

function stroke(path) {
  for (const [color, width] of [["#000000", 3.5], ["#ffffff", 1.5]]) {
    [pen.strokeStyle, pen.lineWidth] = [color, width * ratio()];
    pen.beginPath();
    path();
    pen.stroke();
  }
}

function draw() {
  if (!overview) return;
  [canvas.width, canvas.height] = [canvas.clientWidth * ratio(), canvas.clientHeight * ratio()];
  const border = canvas.width * state.divider;
  drawSide(state.left, 0, border);
  drawSide(state.right, border, canvas.width);
  stroke(() => { pen.moveTo(border, 0); pen.lineTo(border, canvas.height); });
  if (state.pixel) {
    const [x, y] = toScreen(...state.pixel), side = Math.max(state.zoom, 6);
    stroke(() => pen.rect(x - (side - state.zoom) / 2, y - (side - state.zoom) / 2, side, side));
  }
  if (state.ends.length === 2) {
    const [[x1, y1], [x2, y2]] = state.ends.map(([row, column]) => toScreen(row + 0.5, column + 0.5));
    if (state.tool === "profile") stroke(() => { pen.moveTo(x1, y1); pen.lineTo(x2, y2); });
    else stroke(() => pen.rect(Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)));
  }
  Object.assign(canvas.dataset, { row: state.row, column: state.column, zoom: state.zoom / ratio() });
  drawLegend();
}

const shown = (kelvin) => (state.unit === "C" ? kelvin - 273.15 : kelvin).toFixed(2);
const signed = (kelvin) => (kelvin >= 0 ? "+" : "") + kelvin.toFixed(2);
const unitSign = () => (state.unit === "C" ? "°C" : "K");
const unitOf = (name) => (KELVIN.has(name) ? unitSign() : name === "guide" ? "" : "K");

function drawLegend() {
  const legend = byId("legend"), ink = getComputedStyle(document.body).color;
  [legend.width, legend.height] = [legend.clientWidth * ratio(), legend.clientHeight * ratio()];
  const brush = legend.getContext("2d"), names = [...new Set([state.left, state.right])].filter((n) => n !== "flag");
  const kinds = [...new Set(names.map((name) => limitsOf(name)[2]))], words = [];
  kinds.forEach((colors, k) => {
    const name = names.find((one) => limitsOf(one)[2] === colors), [low, high] = limitsOf(name);
    const margin = 34 * ratio(), width = legend.width / kinds.length, bar = width - 2 * margin;
    for (let step = 0; step < bar; step++) {
      const from = 3 * Math.round(255 * step / bar), table = palettes[colors];
      brush.fillStyle = `rgb(${table[from]},${table[from + 1]},${table[from + 2]})`;
      brush.fillRect(k * width + margin + step, 2, 1.5, 18 * ratio());
    }
    [brush.fillStyle, brush.textAlign, brush.font] = [ink, "center", `${12 * ratio()}px sans-serif`];
    for (let label = 0; label <= 4; label++) {
      const value = low + (high - low) * label / 4, text = KELVIN.has(name) ? shown(value) : value.toFixed(2);
      brush.fillText(`${text} ${unitOf(name)}`, k * width + margin + bar * label / 4, 38 * ratio());
    }
    const range = KELVIN.has(name) ? `${shown(low)} to ${shown(high)} ${unitSign()}` : `${low.toFixed(2)} to ${high.toFixed(2)} ${unitOf(name)}`;
    words.push(`${KELVIN.has(name) ? "temperature" : LAYERS[name]}: ${range}`);
  });
  if ([state.left, state.right].includes("flag")) words.push(flagWords());
  byId("legend-words").textContent = `Left: ${LAYERS[state.left]}. Right: ${LAYERS[state.right]}. ${words.join(". ")}.`;
}

function flagWords() {
  const names = ["pale green", "white", "blue", "orange", "violet", "red", "teal"];
  return "flags: " + Object.entries(data.flags).map(([value, words]) => `${names[value] || value} ${words}`).join(", ");
}

function recolor() {
  for (const name of KELVIN) painted.delete(name);
  [byId("low").value, byId("high").value] = [shown(state.low), shown(state.high)];
  draw();
}

// ---- what is told -------------------------------------------------------------------------------------------

function placeOf(row, column) {
  const lines = [];
  if (data.transform) {
    const [a, b, c, d, e, f] = data.transform, x = a * (column + 0.5) + b * (row + 0.5) + c, y = d * (column + 0.5) + e * (row + 0.5) + f;
    lines.push(`x ${x.toFixed(data.decimals)}, y ${y.toFixed(data.decimals)}${data.crs ? ` (${data.crs})` : ""}`);
  }
  const degrees = degreesOf(row + 0.5, column + 0.5);
  if (degrees) lines.push(`longitude ${degrees[0].toFixed(6)}, latitude ${degrees[1].toFixed(6)}`);
  return lines;
}

// Between the corners of a net of known places, linear in row and column.
function degreesOf(row, column) {
  if (!data.degrees) return null;
  const { rows, columns, longitude, latitude } = data.degrees;
  const find = (edges, value) => Math.min(edges.findLastIndex((edge) => edge <= value), edges.length - 2);
  const r = find(rows, row), c = find(columns, column);
  const down = (row - rows[r]) / (rows[r + 1] - rows[r]), along = (column - columns[c]) / (columns[c + 1] - columns[c]);
  const mix = (net) => (net[r][c] * (1 - along) + net[r][c + 1] * along) * (1 - down) + (net[r + 1][c] * (1 - along) + net[r + 1][c + 1] * along) * down;
  const result = [mix(longitude), mix(latitude)];
  return result.every(Number.isFinite) ? result : null;
}

function describe(row, column) {
  const lines = [`row ${row}, column ${column}`, ...placeOf(row, column)];
  const product = valueAt("product", row, column), flag = data.flags[valueAt("flag", row, column)];
  if (Number.isNaN(product)) lines.push("product: no data");
  else {
    lines.push(`product ${shown(product)} ${unitSign()} ± ${valueAt("uncertainty", row, column).toFixed(2)} K`);
    lines.push(`bicubic ${shown(valueAt("bicubic", row, column))} ${unitSign()}, product minus bicubic ${signed(valueAt("difference", row, column))} K`);
    if (LAYERS.learned) lines.push(`of which the network chose ${signed(valueAt("learned", row, column))} K`);
  }
  const seen = valueAt("measured", row, column);
  lines.push(Number.isNaN(seen) ? "measured: no data" : `measured ${shown(seen)} ${unitSign()}`);
  if (data.guide) {
    const guide = valueAt("guide", row, column);
    lines.push(Number.isNaN(guide) ? "guide: no data" : `guide ${Number(guide.toPrecision(5))}`);
  }
  lines.push(`flag: ${flag}`);
  if (!exactAt(row, column)) lines.push(`(means of ${data.factor} x ${data.factor} pixels; the store has every pixel)`);
  return lines.join("\n");
}

function select(row, column) {
  if (!inside(row, column)) return;
  state.pixel = [row, column];
  byId("readout").textContent = describe(row, column);
  draw();
}

function setEnd(row, column) {
  if (!inside(row, column)) return;
  state.ends = state.ends.length === 1 ? [state.ends[0], [row, column]] : [[row, column]];
  if (state.ends.length === 2) {
    if (state.tool === "profile") tellProfile();
    else tellBox();
  }
  draw();
}

function samples() {
  const [[r1, c1], [r2, c2]] = state.ends, count = Math.max(Math.abs(r2 - r1), Math.abs(c2 - c1), 1);
  return Array.from({ length: count + 1 }, (_, k) => [Math.round(r1 + (r2 - r1) * k / count), Math.round(c1 + (c2 - c1) * k / count)]);
}

function tellProfile() {
  const points = samples(), table = points.map(([row, column]) => ({
    row, column, measured: valueAt("measured", row, column), bicubic: valueAt("bicubic", row, column),
    product: valueAt("product", row, column), sigma: valueAt("uncertainty", row, column) }));
  const known = table.filter((one) => !Number.isNaN(one.product));
  const chart = byId("chart");
  chart.dataset.csv = ["row,column,measured_k,bicubic_k,product_k,uncertainty_k",
    ...table.map((one) => [one.row, one.column, one.measured, one.bicubic, one.product, one.sigma].map((v) => Number.isInteger(v) ? v : v.toFixed(2)).join(","))].join("\n");
  if (!known.length) { chart.textContent = "No data along this line."; return; }
  const low = Math.min(...known.map((one) => one.product - one.sigma)), high = Math.max(...known.map((one) => one.product + one.sigma));
  const W = 340, H = 180, left = 48, bottom = 8;
  const x = (k) => left + (W - left - 6) * k / Math.max(table.length - 1, 1);
  const y = (v) => 6 + (H - bottom - 6) * (1 - (v - low) / Math.max(high - low, 0.01));
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img",
    "aria-label": `Profile of ${table.length} pixels, product ${shown(Math.min(...known.map((o) => o.product)))} to ${shown(Math.max(...known.map((o) => o.product)))} ${unitSign()}` });
  const line = (name, color) => runs(table, name).forEach((run) => root.append(svg("polyline", { fill: "none", stroke: color, "stroke-width": 1.6,
    points: run.map((k) => `${x(k).toFixed(1)},${y(table[k][name]).toFixed(1)}`).join(" ") })));
  for (const run of runs(table, "product")) {
    const up = run.map((k) => `${x(k).toFixed(1)},${y(table[k].product + table[k].sigma).toFixed(1)}`);
    const down = run.map((k) => `${x(k).toFixed(1)},${y(table[k].product - table[k].sigma).toFixed(1)}`).reverse();
    root.append(svg("polygon", { points: [...up, ...down].join(" "), fill: "#c0392b", "fill-opacity": 0.25 }));
  }
  line("measured", "#8c8c8c"); line("bicubic", "#2f7de1"); line("product", "#c0392b");
  for (const share of [0, 0.5, 1]) {
    const value = low + (high - low) * share, label = svg("text", { x: left - 4, y: y(value) + 4, "text-anchor": "end", "font-size": 11, fill: "currentColor" });
    label.textContent = shown(value);
    root.append(label);
  }
  const words = document.createElement("p");
  words.textContent = `${unitSign()} along ${table.length} pixels: product red with ± 1 sigma, bicubic blue, measured gray`;
  chart.replaceChildren(root, words);
}

// Stretches of a profile without a hole, as lists of positions.
function runs(table, name) {
  const found = [[]];
  table.forEach((one, k) => (Number.isNaN(one[name]) ? found.push([]) : found[found.length - 1].push(k)));
  return found.filter((run) => run.length);
}

function tellBox() {
  const [[r1, c1], [r2, c2]] = state.ends;
  const [top, last, left, right] = [Math.min(r1, r2), Math.max(r1, r2), Math.min(c1, c2), Math.max(c1, c2)];
  const counts = {}, sigmas = [];
  let sum = 0, count = 0, low = Infinity, high = -Infinity, exact = true;
  for (let row = top; row <= last; row++) {
    for (let column = left; column <= right; column++) {
      const flag = data.flags[valueAt("flag", row, column)], value = valueAt("product", row, column);
      counts[flag] = (counts[flag] || 0) + 1;
      exact = exact && exactAt(row, column);
      if (Number.isNaN(value)) continue;
      [sum, count, low, high] = [sum + value, count + 1, Math.min(low, value), Math.max(high, value)];
      sigmas.push(valueAt("uncertainty", row, column));
    }
  }
  const lines = [`rows ${top} to ${last}, columns ${left} to ${right}: ${count} of ${(last - top + 1) * (right - left + 1)} pixels with data`];
  if (count) {
    lines.push(`mean ${shown(sum / count)} ${unitSign()}, minimum ${shown(low)}, maximum ${shown(high)}`);
    lines.push(...meanError(count, sigmas));
  }
  lines.push(Object.entries(counts).map(([words, number]) => `${words}: ${number}`).join(", "));
  if (!exact) lines.push(`(from means of ${data.factor} x ${data.factor} pixels; the store has every pixel)`);
  byId("statistics").textContent = lines.join("\n");
}

// The error of a mean, as the scene's own test measured it over areas of 1, 4, 16 and 64 scene pixels.
function meanError(count, sigmas) {
  const mean = sigmas.reduce((a, b) => a + b, 0) / count, pixels = count / data.scale ** 2;
  const known = (data.area_errors || []).filter((one) => one.scene_px <= pixels);
  const lines = [`single pixels: ± ${mean.toFixed(2)} K in the mean`];
  if (known.length) {
    const one = known[known.length - 1];
    lines.push(`this mean: ± ${one.error_k.toFixed(3)} K by the self-test over ${one.scene_px} scene pixels; calibration and emissivity come on top`);
  } else lines.push(`this mean: at most ± ${mean.toFixed(2)} K; calibration and emissivity come on top`);
  return lines;
}

// ---- what a person does -------------------------------------------------------------------------------------

function fit() {
  state.zoom = Math.min(canvas.clientWidth / WIDTH, canvas.clientHeight / HEIGHT) * ratio();
  [state.row, state.column] = [HEIGHT / 2, WIDTH / 2];
  draw();
}

function zoomBy(factor, at) {
  const [x, y] = at || [canvas.width / 2, canvas.height / 2], [row, column] = toPixel(x, y);
  state.zoom = Math.min(Math.max(state.zoom * factor, 0.02), 64 * ratio());
  [state.row, state.column] = [row - (y - canvas.height / 2) / state.zoom, column - (x - canvas.width / 2) / state.zoom];
  draw();
}

function choose(tool) {
  [state.tool, state.ends] = [tool, []];
  for (const name of ["point", "profile", "box"]) byId(name).setAttribute("aria-pressed", String(name === tool));
  draw();
}

function copy(text) {
  const fallback = () => {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(fallback);
  else fallback();
}

function copyValues() {
  if (state.tool === "profile" && byId("chart").dataset.csv) copy(byId("chart").dataset.csv);
  else if (state.tool === "box") copy(byId("statistics").textContent);
  else copy(byId("readout").textContent);
}

function takeScale(text) {
  const [low, high, colors] = text.replace(/^#?scale=/, "").split(",");
  if (!(Number(low) < Number(high))) return;
  [state.low, state.high] = [Number(low), Number(high)];
  if (colors in palettes) byId("colors").value = state.colors = colors;
  recolor();
}

function setPercentiles(share) {
  const values = Array.from(overview.product.values).filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
  if (!values.length) return;
  const at = (percent) => values[Math.round((values.length - 1) * percent / 100)];
  [state.low, state.high] = [at(share), Math.max(at(100 - share), at(share) + 0.1)];
  recolor();
}

const pointerPlace = (event) => [event.offsetX * ratio(), event.offsetY * ratio()];

canvas.addEventListener("pointerdown", (event) => {
  state.drag = { x: event.offsetX, y: event.offsetY, row: state.row, column: state.column, moved: false,
    divider: Math.abs(event.offsetX - canvas.clientWidth * state.divider) < 7 };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  const drag = state.drag;
  if (!drag) return;
  const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
  if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
  if (!drag.moved) return;
  if (drag.divider) setDivider(event.offsetX / canvas.clientWidth);
  else {
    [state.row, state.column] = [drag.row - dy * ratio() / state.zoom, drag.column - dx * ratio() / state.zoom];
    draw();
  }
});
canvas.addEventListener("pointerup", (event) => {
  const drag = state.drag;
  state.drag = null;
  if (!drag || drag.moved) return;
  const [row, column] = toPixel(...pointerPlace(event)).map(Math.floor);
  select(row, column);
  if (state.tool !== "point") setEnd(row, column);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.25 : 0.8, pointerPlace(event));
}, { passive: false });

function setDivider(share) {
  state.divider = Math.min(Math.max(share, 0), 1);
  byId("divider").value = Math.round(100 * state.divider);
  draw();
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key, move = MOVES[key];
  if (move) {
    const step = event.shiftKey ? 10 : 1, [row, column] = state.pixel || [Math.floor(state.row), Math.floor(state.column)];
    const next = state.pixel ? [row + move[0] * step, column + move[1] * step] : [row, column];
    select(Math.min(Math.max(next[0], 0), HEIGHT - 1), Math.min(Math.max(next[1], 0), WIDTH - 1));
    const [x, y] = toScreen(...state.pixel);
    if (x < 0 || y < 0 || x > canvas.width || y > canvas.height) { [state.row, state.column] = state.pixel; draw(); }
  } else if (key === "+" || key === "=") zoomBy(1.5);
  else if (key === "-") zoomBy(1 / 1.5);
  else if (key === "0") fit();
  else if (key === ",") setDivider(state.divider - 0.05);
  else if (key === ".") setDivider(state.divider + 0.05);
  else if (key === "p") choose("profile");
  else if (key === "b") choose("box");
  else if (key === "Escape") choose("point");
  else if (key === "Enter" && state.pixel && state.tool !== "point") setEnd(...state.pixel);
  else if (key === "c") copyValues();
  else return;
  event.preventDefault();
});

for (const tool of ["point", "profile", "box"]) byId(tool).addEventListener("click", () => choose(tool));
for (const side of ["left", "right"]) {
  for (const [name, words] of Object.entries(LAYERS)) byId(side).append(new Option(words, name));
  byId(side).value = state[side];
  byId(side).addEventListener("change", () => { state[side] = byId(side).value; draw(); });
}
byId("divider").addEventListener("input", () => setDivider(byId("divider").value / 100));
byId("colors").addEventListener("change", () => { state.colors = byId("colors").value; recolor(); });
byId("unit").addEventListener("change", () => {
  state.unit = byId("unit").value;
  recolor();
  if (state.pixel) select(...state.pixel);
});
for (const end of ["low", "high"]) {
  byId(end).addEventListener("change", () => {
    const value = Number(byId(end).value) + (state.unit === "C" ? 273.15 : 0);
    const next = { low: state.low, high: state.high, [end]: value };
    if (next.low < next.high) Object.assign(state, next);
    recolor();
  });
}
byId("percentiles").addEventListener("change", () => setPercentiles(Number(byId("percentiles").value)));
byId("fit").addEventListener("click", fit);
byId("closer").addEventListener("click", () => zoomBy(1.5));
byId("farther").addEventListener("click", () => zoomBy(1 / 1.5));
byId("copy").addEventListener("click", copyValues);
byId("link").addEventListener("click", () => {
  const text = `${state.low.toFixed(2)},${state.high.toFixed(2)},${state.colors}`;
  byId("scale").value = text;
  copy(text);
});
byId("scale").addEventListener("change", () => takeScale(byId("scale").value));
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
});
byId("places").append(new Option("a place that matters", ""));
data.places.forEach((place, k) => byId("places").append(new Option(`${place.why}: row ${place.row}, column ${place.column}`, k)));
byId("places").addEventListener("change", () => {
  const place = data.places[byId("places").value];
  if (!place) return;
  [state.row, state.column, state.zoom] = [place.row, place.column, Math.max(state.zoom, 4 * ratio())];
  select(place.row, place.column);
});
window.addEventListener("resize", draw);

async function start() {
  byId("title").textContent = data.title;
  byId("verdict").textContent = data.verdict;
  byId("verdict").className = data.good ? "good" : "warn";
  byId("about").textContent = data.about;
  for (const [label, value] of data.facts) {
    const line = byId("facts").insertRow(), name = document.createElement("th");
    name.scope = "row";
    name.textContent = label;
    line.append(name);
    line.insertCell().textContent = value;
  }
  overview = await layersOf(data.overview);
  whole.measured = { layer: await kelvinOf(data.measured), step: data.scale * data.measured_factor };
  if (data.guide) whole.guide = { layer: await kelvinOf(data.guide), step: data.factor };
  windows = await Promise.all(data.windows.map(async (one) => ({ row: one.row, column: one.column, layers: await layersOf(one.layers) })));
  if (location.hash.startsWith("#scale=")) takeScale(decodeURIComponent(location.hash));
  recolor();
  fit();
  byId("loading").textContent = "";
  document.documentElement.dataset.ready = "true";
}
start().catch((error) => {
  byId("loading").textContent = `This browser cannot show the pixels (${error.message}); Chrome 80, Firefox 113 and Safari 16.4 or later can.`;
  document.documentElement.dataset.ready = "failed";
}).finally(() => document.querySelector("main").removeAttribute("aria-busy"));
