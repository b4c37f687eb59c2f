// Charts on canvas, at the size that they have on the screen. An axis has a column, a title, a unit and a mark.
const LEFT = 46, RIGHT = 10, TOP = 20, BOTTOM = 34, BARS = 40;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name);
}

// Round numbers from low to high, about five of them.
function ticks(low, high) {
  const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(each => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) found.push(+value.toPrecision(6));
  return found;
}

function range(values, mark) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  if (mark !== null && mark !== undefined && mark >= low - (high - low) && mark <= high + (high - low)) {
    low = Math.min(low, mark); high = Math.max(high, mark);
  }
  return low < high ? [low, high] : [low - .5, high + .5];
}

// An empty chart with axes: how to place values in it, and what to draw with.
function axes(canvas, x, y, titles) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale; canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  const atX = value => LEFT + (value - x[0]) / (x[1] - x[0]) * (width - LEFT - RIGHT);
  const atY = value => height - BOTTOM - (value - y[0]) / (y[1] - y[0]) * (height - BOTTOM - TOP);
  pen.fillStyle = colour("quiet"); pen.strokeStyle = colour("line");
  pen.textAlign = "right"; pen.textBaseline = "middle";
  for (const tick of ticks(...y)) {
    pen.fillText(tick.toLocaleString("en"), LEFT - 6, atY(tick));
    line(pen, LEFT, atY(tick), width - RIGHT, atY(tick));
  }
  pen.textAlign = "center"; pen.textBaseline = "top";
  for (const tick of ticks(...x)) pen.fillText(tick.toLocaleString("en"), Math.min(atX(tick), width - 14), height - BOTTOM + 5);
  pen.textAlign = "right"; pen.fillText(titles[0], width - RIGHT, height - 14);
  pen.textAlign = "left"; pen.fillText(titles[1], LEFT + 4, 0);
  return { pen, atX, atY, width, height };
}

function line(pen, x1, y1, x2, y2, dashes = []) {
  pen.setLineDash(dashes); pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke(); pen.setLineDash([]);
}

function marks(chart, x, y) {
  const { pen, atX, atY, width, height } = chart;
  pen.strokeStyle = colour("ink");
  if (x !== null && x !== undefined) line(pen, atX(x), TOP, atX(x), height - BOTTOM, [4, 3]);
  if (y !== null && y !== undefined) line(pen, LEFT, atY(y), width - RIGHT, atY(y), [4, 3]);
}

const inside = (value, [low, high]) => (value >= low && value <= high ? value : null);
const named = axis => axis.title + (axis.unit ? ", " + axis.unit : "");

// Points {x, y, poor}: those of poor items last, so that none hides behind a good one.
function scatter(canvas, axisX, axisY, points) {
  const x = range(points.map(point => point.x), axisX.mark), y = range(points.map(point => point.y), axisY.mark);
  const chart = axes(canvas, x, y, [named(axisX), named(axisY)]), size = points.length > 1000 ? 2 : 4;
  chart.pen.globalAlpha = points.length > 1000 ? .4 : .7;
  for (const poor of [false, true]) {
    chart.pen.fillStyle = colour(poor ? "poor" : "good");
    for (const point of points) if (point.poor === poor) chart.pen.fillRect(chart.atX(point.x) - size / 2, chart.atY(point.y) - size / 2, size, size);
  }
  chart.pen.globalAlpha = 1;
  marks(chart, inside(axisX.mark ?? NaN, x), inside(axisY.mark ?? NaN, y));
}

// How often which values of points {x, poor} occur, the poor ones on top.
function histogram(canvas, axis, points) {
  const x = range(points.map(point => point.x), axis.mark), good = Array(BARS).fill(0), poor = Array(BARS).fill(0);
  for (const point of points) (point.poor ? poor : good)[Math.min(BARS - 1, Math.floor((point.x - x[0]) / (x[1] - x[0]) * BARS))]++;
  const chart = axes(canvas, x, [0, Math.max(...good.map((count, bar) => count + poor[bar]))], [named(axis), "items"]);
  const { pen, atX, atY } = chart, width = atX(x[0] + (x[1] - x[0]) / BARS) - atX(x[0]);
  for (let bar = 0; bar < BARS; bar++) {
    const left = atX(x[0]) + bar * width;
    pen.fillStyle = colour("good"); pen.fillRect(left, atY(good[bar]), width - 1, atY(0) - atY(good[bar]));
    pen.fillStyle = colour("poor"); pen.fillRect(left, atY(good[bar] + poor[bar]), width - 1, atY(0) - atY(poor[bar]));
  }
  marks(chart, inside(axis.mark ?? NaN, x), null);
}

// Values of equal intervals of time; starts (0 to 1) are where further sessions began.
function steps(canvas, { values, starts, seconds }) {
  const unit = seconds < 120 ? ["s", 1] : seconds < 7200 ? ["min", 60] : ["h", 3600];
  const end = seconds / unit[1], chart = axes(canvas, [0, end], [0, Math.max(...values) || 1], ["time, " + unit[0], "audio-s/s"]);
  const { pen, atX, atY } = chart;
  pen.fillStyle = colour("good");
  values.forEach((value, place) => {
    const left = atX(place / values.length * end), right = atX((place + 1) / values.length * end);
    pen.fillRect(left, atY(value), right - left + .5, atY(0) - atY(value));
  });
  for (const start of starts) marks(chart, start * end, null);
}
