// The items: filters, the charts of those that pass, the cards to listen to, and a table.
const LEAST = 20, PAGE = 100;
const data = JSON.parse(document.getElementById("data").textContent);
const items = data.items, count = items.id.length;
const text = column => place => items[column].names[items[column].values[place]];
const verdict = text("verdict"), prompt = text("prompt"), split = text("split"), wrong = text("wrong");
const percent = value => (value === null ? "" : Math.round(value * 100) + " %");
const number = value => (value === null ? "" : value.toLocaleString("en"));
const COLUMNS = [
  { title: "item", value: place => items.id[place], isText: true },
  { title: "verdict", value: verdict, isText: true },
  { title: "prompt", value: prompt, isText: true },
  { title: "split", value: split, isText: true },
  { title: "found", value: place => items.found[place], show: percent },
  { title: "explained", value: place => items.explained[place], show: percent },
  { title: "codes", value: place => items.codes[place], show: percent },
  { title: "level, dBFS", value: place => items.level[place], show: number },
  { title: "length, s", value: place => items.length[place], show: number },
  { title: "what is wrong", value: wrong, isText: true },
];
const all = [...Array(count).keys()];
const form = document.querySelector(".filters");
let sortedBy = null, descending = false, shown = PAGE, visible = all;

function element(name, content = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = content;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Whether an item passes the filters as they are set now.
function filter() {
  const chosen = new FormData(form), sought = chosen.get("text").toLowerCase();
  const wanted = ["verdict", "prompt", "split"].map(name => [name, chosen.get(name)]).filter(([, value]) => value);
  return item => wanted.every(([name, value]) => item[name] === value) && item.id.toLowerCase().includes(sought);
}

function fillFilters() {
  for (const name of ["verdict", "prompt", "split"]) {
    for (const value of items[name].names) form.elements[name].append(element("option", value, { value }));
    form.elements[name].parentElement.hidden = items[name].names.length < 2;
  }
  form.hidden = false;
}

function median(values) {
  const sorted = Float64Array.from(values).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// A chart is drawn where there are enough items with its measures, and these are not all the same.
function drawCharts() {
  const folder = document.querySelector(".charts");
  folder.replaceChildren();
  for (const { title, x, y } of data.charts) {
    const places = visible.filter(place => items[x.column][place] !== null && (!y || items[y.column][place] !== null));
    const points = places.map(place => ({ x: items[x.column][place], y: y && items[y.column][place], poor: verdict(place) === "poor" }));
    if (points.length < LEAST || points.every(({ x, y }) => x === points[0].x && y === points[0].y)) continue;
    const middle = median(points.map(point => point.x)).toPrecision(3);
    const told = `${points.length.toLocaleString("en")} items, median ${x.title} ${+middle} ${x.unit}`.trim();
    const figure = element("figure"), canvas = element("canvas", "", { role: "img", "aria-label": `${title}: ${told}` });
    const caption = element("figcaption");
    caption.append(element("b", title), ` ${told}`);
    figure.append(caption, canvas);
    folder.append(figure);
    if (y) scatter(canvas, x, y, points); else histogram(canvas, x, points);
  }
  document.getElementById("few").hidden = folder.childElementCount > 0;
  document.getElementById("legend").hidden = folder.childElementCount === 0;
}

function drawTable() {
  const rows = visible.slice(0, shown).map(place => {
    const row = element("tr");
    COLUMNS.forEach(({ title, value, show, isText }, column) => {
      const content = show ? show(value(place)) : value(place);
      const cell = element("td", column === 0 || column === 1 ? "" : content, isText ? {} : { class: "number", "data-name": title });
      if (column === 0 && items.path && items.path[place]) {
        cell.append(element("a", content, { href: items.path[place].split("/").map(encodeURIComponent).join("/") }));
      } else if (column === 0) cell.append(content);
      if (column === 1) cell.append(element("span", content, { class: `verdict ${content.split(" ")[0]}` }));
      row.append(cell);
    });
    return row;
  });
  document.querySelector(".items tbody").replaceChildren(...rows);
  document.getElementById("more").hidden = shown >= visible.length;
}

function drawHead() {
  const row = element("tr");
  COLUMNS.forEach((column, place) => {
    const head = element("th"), button = element("button", column.title, { type: "button" });
    if (place === sortedBy) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    button.addEventListener("click", () => {
      descending = place === sortedBy && !descending;
      sortedBy = place;
      update();
    });
    head.append(button);
    row.append(head);
  });
  document.querySelector(".items thead").replaceChildren(row);
}

function sorted(places) {
  if (sortedBy === null) return places;
  const { value } = COLUMNS[sortedBy], sign = descending ? -1 : 1;
  const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : sign * (a < b ? -1 : 1));
  return [...places].sort((one, other) => compare(value(one), value(other)) || one - other);
}

function update() {
  const passes = filter();
  visible = sorted(all.filter(place => passes({ id: items.id[place], verdict: verdict(place), prompt: prompt(place), split: split(place) })));
  shown = PAGE;
  form.querySelector("output").textContent = `${visible.length.toLocaleString("en")} of ${count.toLocaleString("en")} items`;
  for (const card of document.querySelectorAll(".heard article")) card.hidden = !passes(card.dataset);
  drawCharts();
  drawHead();
  drawTable();
}

function drawSpeed() {
  const canvas = document.getElementById("speed");
  if (canvas) steps(canvas, data.speed);
}

document.querySelectorAll("figure").forEach(follow);
drawSpeed();
if (form) {
  fillFilters();
  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  document.getElementById("more").addEventListener("click", () => { shown += PAGE; drawTable(); });
  update();
}
let redraw = 0;
function redrawSoon() {
  clearTimeout(redraw);
  redraw = setTimeout(() => { drawSpeed(); if (form) drawCharts(); }, 100);
}
addEventListener("resize", redrawSoon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawSoon);
