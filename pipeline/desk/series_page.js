// Temperatures along time: points with one standard error, day and night apart.

const ICE_K = 273.15;
const dated = data.rows.filter((row) => row.time !== null);
const state = { unit: "K", chosen: -1, chart: null };

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const shown = (kelvin) => (kelvin === null ? null : kelvin - (state.unit === "C" ? ICE_K : 0));
const words = (kelvin) => (kelvin === null ? "no data" : `${shown(kelvin).toFixed(2)} ${state.unit === "C" ? "°C" : "K"}`);
const digits = (error_k) => (error_k === null ? "" : error_k.toFixed(error_k < 0.095 ? 3 : 2));
const error = (row) => (row.error_k === null ? "" : ` ± ${digits(row.error_k)} K`);
// Days as 2023-07-02, and hours where less than a day lies between two marks.
const dates = (_, marks, axis, space, step_s) => marks.map((at) => new Date(1000 * at).toISOString().slice(...(step_s < 86400 ? [5, 16] : [0, 10])).replace("T", " "));

// A circle by day, a square by night, a diamond where nothing tells it.
function mark(drawn, kind, x, y, r) {
  drawn.beginPath();
  if (kind === "day") drawn.arc(x, y, r, 0, 2 * Math.PI);
  else if (kind === "night") drawn.rect(x - r, y - r, 2 * r, 2 * r);
  else [[0, -r], [r, 0], [0, r], [-r, 0]].forEach(([right, down], turn) => (turn ? drawn.lineTo(x + right, y + down) : drawn.moveTo(x, y - r)));
  drawn.closePath();
  drawn.fill();
}

function draw(chart) {
  const drawn = chart.ctx, ratio = devicePixelRatio;
  const colors = { day: color("--warn"), night: color("--link"), "": color("--soft") };
  const { left, top, width, height } = chart.bbox;
  drawn.save();
  drawn.beginPath();
  drawn.rect(left, top, width, height);
  drawn.clip();
  drawn.lineWidth = 1.5 * ratio;
  dated.forEach((row, index) => {
    if (row.kelvin === null) return;
    const at = (kelvin) => chart.valToPos(shown(kelvin), "y", true);
    const x = chart.valToPos(row.time_s, "x", true), cap = 3 * ratio;
    drawn.fillStyle = drawn.strokeStyle = colors[row.day_or_night] ?? colors[""];
    if (row.error_k !== null) {
      const low = at(row.kelvin - row.error_k), high = at(row.kelvin + row.error_k);
      drawn.beginPath();
      [[x, low, x, high], [x - cap, low, x + cap, low], [x - cap, high, x + cap, high]].forEach(([a, b, c, d]) => { drawn.moveTo(a, b); drawn.lineTo(c, d); });
      drawn.stroke();
    }
    mark(drawn, row.day_or_night, x, at(row.kelvin), (index === state.chosen ? 6.5 : 4) * ratio);
  });
  drawn.restore();
}

function span() {
  const ends = dated.flatMap((row) => (row.kelvin === null ? [] : [row.kelvin - (row.error_k ?? 0), row.kelvin + (row.error_k ?? 0)]));
  if (!ends.length) return [0, 1];
  const low = shown(Math.min(...ends)), high = shown(Math.max(...ends)), room = 0.06 * (high - low) || 0.5;
  return [low - room, high + room];
}

function build() {
  if (state.chart) state.chart.destroy();
  byId("chart").replaceChildren();
  const axis = (label) => ({ stroke: color("--ink"), grid: { stroke: color("--panel") }, ticks: { stroke: color("--line") }, label });
  state.chart = new uPlot({
    width: Math.max(260, byId("chart").clientWidth),
    height: Math.max(260, Math.min(460, 0.5 * innerHeight)),
    tzDate: (seconds) => uPlot.tzDate(new Date(1000 * seconds), "Etc/UTC"),
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false } },
    scales: { x: { time: true, range: (_, low, high) => (low === high ? [low - 43200, high + 43200] : [low, high].map((end, last) => end + (last ? 1 : -1) * 0.03 * (high - low))) }, y: { range: span } },
    axes: [{ ...axis("UTC"), space: 90, values: dates }, { ...axis(state.unit === "C" ? "°C" : "K"), size: 64 }],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [draw], setCursor: [(chart) => { if (chart.cursor.idx != null && chart.cursor.left >= 0) choose(chart.cursor.idx); }] },
  }, [dated.map((row) => row.time_s), dated.map((row) => shown(row.kelvin))], byId("chart"));
}

function choose(index) {
  if (index === state.chosen || index < 0 || index >= dated.length) return;
  state.chosen = index;
  tell();
  state.chart.redraw(false);
}

function tell() {
  const row = dated[state.chosen];
  if (!row) return;
  const parts = [row.time, `${words(row.kelvin)}${row.kelvin === null ? "" : error(row)}`, row.day_or_night, row.remark, row.scene_id, row.resampled ? "resampled" : ""];
  byId("readout").textContent = parts.filter(Boolean).join(" · ");
}

function table() {
  const heads = ["time (UTC)", `temperature (${state.unit === "C" ? "°C" : "K"})`, "error (K)", "day or night", data.remark, "scene"];
  byId("heads").replaceChildren(...heads.map((head) => cell("th", head)));
  byId("rows").replaceChildren(...data.rows.map((row) => {
    const line = document.createElement("tr");
    const kelvin = row.kelvin === null ? "no data" : shown(row.kelvin).toFixed(2);
    [row.time ?? "undated", kelvin, digits(row.error_k), row.day_or_night, row.remark, row.scene_id].forEach((said) => line.append(cell("td", said)));
    return line;
  }));
}

function cell(tag, said) {
  const node = document.createElement(tag);
  node.textContent = said;
  if (tag === "th") node.scope = "col";
  return node;
}

function all() { build(); table(); tell(); }

byId("title").textContent = data.title;
byId("about").textContent = data.about;
const undated = data.rows.length - dated.length;
byId("legend").textContent = `Circle: day. Square: night. Diamond: not known. Bars: one standard error.${undated ? ` ${undated} without a date: in the table only.` : ""}`;
byId("unit").addEventListener("change", () => { state.unit = byId("unit").value; all(); });
byId("whole").addEventListener("click", build);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  build();
});
byId("chart").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -dated.length, End: dated.length }[event.key];
  if (!step) return;
  event.preventDefault();
  choose(Math.max(0, Math.min(dated.length - 1, state.chosen + step)));
});
addEventListener("resize", build);
all();
if (dated.length) choose(dated.length - 1);
document.documentElement.dataset.ready = "";
