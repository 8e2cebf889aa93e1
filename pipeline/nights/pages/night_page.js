// A night in a browser.

const PAGE = 200;
const COLUMNS = [
  ["picture", ""], ["name", "scene"], ["outcome", "outcome"], ["reason", "reason"], ["seconds", "seconds"],
  ["gain", "gain"], ["skill", "self-test over the base"],
];
const state = { sort: null, down: false, from: 0 };

function make(tag, words, facts = {}) {
  const node = document.createElement(tag);
  if (words !== undefined) node.textContent = words;
  for (const [name, value] of Object.entries(facts)) node.setAttribute(name, value);
  return node;
}

function nameOf(row) {
  return row.page ? make("a", row.name, { href: row.page }) : make("span", row.name);
}

function head() {
  byId("title").textContent = `Night ${data.run}`;
  byId("when").textContent = `${data.started} to ${data.finished}, recipe ${data.recipe}${data.complete ? "" : "; some scenes have not ended yet"}`;
  const counts = Object.entries(data.counts).filter(([, number]) => number);
  const sum = counts.reduce((total, [, number]) => total + number, 0);
  byId("sum").textContent = `${data.found} found: ${counts.map(([words, number]) => `${number} ${words}`).join(" + ")} = ${sum}`;
  data.faults.forEach((fault) => byId("faults").append(make("li", `The night ended early: ${fault}`)));
}

function hand() {
  const rows = data.rows.filter((row) => row.mend && ["failed", "refused", "fell back"].includes(row.outcome));
  byId("calm").textContent = rows.length ? "" : "Nothing.";
  rows.slice(0, 50).forEach((row) => {
    const line = make("li");
    line.append(nameOf(row), make("span", ` ${row.outcome}${row.again ? " again" : ""}: ${row.reason} `), make("code", row.mend));
    byId("hand").append(line);
  });
  if (rows.length > 50) byId("hand").append(make("li", `and ${rows.length - 50} more, in the table below`));
}

function map() {
  const placed = data.rows.filter((row) => row.box);
  if (!placed.length) { byId("map").textContent = "No scene of this night has a known place."; return; }
  const west = Math.min(...placed.map((row) => row.box[0])), south = Math.min(...placed.map((row) => row.box[1]));
  const east = Math.max(...placed.map((row) => (row.box[2] < row.box[0] ? 180 : row.box[2]))), north = Math.max(...placed.map((row) => row.box[3]));
  const margin = Math.max(8, 0.15 * Math.max(east - west, north - south));
  const wide = Math.max(margin, (2.3 * (north - south + 2 * margin) - (east - west)) / 2);  // as the page has room
  const view = [Math.max(-180, west - wide), Math.max(-90, south - margin), Math.min(180, east + wide), Math.min(90, north + margin)];
  const width = view[2] - view[0], height = view[3] - view[1], thin = width / 900;
  const root = svg("svg", { viewBox: `${view[0]} ${-view[3]} ${width} ${height}`, role: "img",
    "aria-label": `Map of ${placed.length} scenes between ${west.toFixed(1)} and ${east.toFixed(1)} degrees east, ${south.toFixed(1)} and ${north.toFixed(1)} degrees north` });
  for (const ring of data.coast) {
    const points = [];
    for (let k = 0; k < ring.length; k += 2) points.push(`${ring[k]},${-ring[k + 1]}`);
    root.append(svg("polygon", { points: points.join(" "), fill: "var(--land)", stroke: "var(--line)", "stroke-width": thin }));
  }
  const step = [1, 2, 5, 10, 30].find((degrees) => width / degrees <= 14) || 30;
  const line = (x1, y1, x2, y2, words, x, y) => {
    root.append(svg("line", { x1, y1, x2, y2, stroke: "var(--line)", "stroke-width": thin / 2, "stroke-dasharray": `${4 * thin}` }));
    const label = svg("text", { x, y, "font-size": 14 * thin, fill: "var(--soft)" });
    label.textContent = words;
    root.append(label);
  };
  for (let x = Math.ceil(view[0] / step) * step; x < view[2]; x += step) line(x, -view[3], x, -view[1], `${x}°`, x + 2 * thin, -view[1] - 3 * thin);
  for (let y = Math.ceil(view[1] / step) * step; y < view[3]; y += step) line(view[0], -y, view[2], -y, `${y}°`, view[0] + 2 * thin, -y - 2 * thin);
  const least = 5 * thin, colors = { done: "#2b8a3e", "already done": "#868e96", "fell back": "#e67700", failed: "#c92a2a" };
  for (const row of placed) {
    const [w, s, e, n] = row.box, across = e < w ? e + 360 - w : e - w;
    const box = svg("rect", { x: w - Math.max(0, least - across) / 2, y: -n - Math.max(0, least - (n - s)) / 2, width: Math.max(across, least), height: Math.max(n - s, least),
      fill: colors[row.outcome] || "#1c7ed6", "fill-opacity": 0.45, stroke: colors[row.outcome] || "#1c7ed6", "stroke-width": 1.5 * thin });
    const title = svg("title", {});
    title.textContent = `${row.name}: ${row.outcome}`;
    box.append(title);
    root.append(box);
  }
  byId("map").append(root);
}

function chosen() {
  const words = byId("words").value.toLowerCase(), outcome = byId("outcome").value;
  const rows = data.rows.filter((row) => (!outcome || row.outcome === outcome) &&
    (!words || `${row.name} ${row.reason || ""}`.toLowerCase().includes(words)));
  if (state.sort) {
    const worth = (row) => row[state.sort];
    rows.sort((a, b) => {
      const [x, y] = [worth(a), worth(b)];
      if (x === y) return 0;
      if (x === undefined || x === null) return 1;
      if (y === undefined || y === null) return -1;
      return (x < y ? -1 : 1) * (state.down ? -1 : 1);
    });
  }
  return rows;
}

function table() {
  const rows = chosen();
  state.from = Math.max(0, Math.min(state.from, rows.length - 1 - ((rows.length - 1) % PAGE)));
  const shown = rows.slice(state.from, state.from + PAGE);
  byId("where").textContent = rows.length ? `${state.from + 1} to ${state.from + shown.length} of ${rows.length}` : "none";
  byId("before").disabled = state.from === 0;
  byId("after").disabled = state.from + PAGE >= rows.length;
  byId("rows").replaceChildren(...shown.map((row) => {
    const line = make("tr");
    const picture = make("td");
    if (row.picture) picture.append(make("img", undefined, { src: row.picture, alt: "" }));
    const name = make("td");
    name.append(nameOf(row));
    line.append(picture, name, make("td", row.outcome, { class: row.outcome.split(" ")[0] }), make("td", row.reason || ""));
    for (const [key, digits, percent] of [["seconds", 1, false], ["gain", 2, false], ["skill", 1, true]]) {
      const value = row[key];
      const words = value === undefined || value === null ? "" : percent ? `${(100 * value).toFixed(digits)} %` : value.toFixed(digits);
      line.append(make("td", words, { class: "number" }));
    }
    return line;
  }));
}

function start() {
  head();
  hand();
  map();
  byId("outcome").append(new Option("all", ""));
  [...new Set(data.rows.map((row) => row.outcome))].forEach((outcome) => byId("outcome").append(new Option(outcome, outcome)));
  byId("meanings").textContent = COLUMNS.filter(([key]) => key in data.meanings).map(([key, words]) => `${words}: ${data.meanings[key]}`).join(" ");
  for (const [key, words] of COLUMNS) {
    const cell = make(words ? "th" : "td", undefined, words ? { scope: "col" } : {});
    if (words) {
      const button = make("button", words, { type: "button" });
      button.addEventListener("click", () => {
        [state.down, state.sort, state.from] = [state.sort === key && !state.down, key, 0];
        document.querySelectorAll("#heads th").forEach((one) => one.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        table();
      });
      cell.append(button);
    }
    byId("heads").append(cell);
  }
  for (const id of ["outcome", "words"]) byId(id).addEventListener("input", () => { state.from = 0; table(); });
  byId("before").addEventListener("click", () => { state.from -= PAGE; table(); });
  byId("after").addEventListener("click", () => { state.from += PAGE; table(); });
  table();
  document.documentElement.dataset.ready = "true";
}
start();
