// The page: a query, its neighbors, and the images that can be searched.

const PAGE = 60;
const element = (id) => document.getElementById(id);
const trail = []; // Queries so far, by their position in the browser's history.
let position = -1; // Of the one that is shown; -1: none.
let shown = 0; // Images of the training set that are shown.
let token = sessionStorage.getItem("npid-token"); // Gone with the tab.
let request = 0; // Number of the newest search: late answers of others are dropped.

// A query is {name, image: address or null, file} of an image file, or
// {name, image, id} of an image that is in the index.

async function ask(query) {
  const k = Number(element("k").value);
  const threshold = Number(element("threshold").value);
  const own = query.id !== undefined;
  const options = { method: "POST" };
  if (own) {
    options.headers = { "content-type": "application/json" };
    // An image finds itself first.
    options.body = JSON.stringify({ ids: [query.id], k: k + 1, threshold });
  } else {
    options.body = new FormData();
    options.body.append("image", query.file, "query");
    options.body.append("k", k);
    options.body.append("threshold", threshold);
  }
  const answer = await (await fetchChecked("v1/search", options)).json();
  const found = answer.results[0].filter((item) => item.id !== query.id).slice(0, k);
  return { ...answer, found };
}

// Addresses are relative to the page's: a proxy may show it anywhere.
async function fetchChecked(address, options = {}) {
  const sent = token;
  const headers = { ...options.headers };
  if (sent !== null) headers.authorization = `Bearer ${sent}`;
  const response = await fetch(address, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401 && sent === token) askForToken(sent !== null);
  throw new Error(await reason(response));
}

// A proxy's own errors are no JSON.
async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

function askForToken(wasWrong) {
  element("token-form").hidden = false;
  element("token").focus();
  element("token-status").textContent = wasWrong ? "That is not its token." : "";
}

function useToken(event) {
  event.preventDefault();
  token = element("token").value.trim();
  sessionStorage.setItem("npid-token", token);
  element("token").value = "";
  element("token-status").textContent = "";
  element("token-form").hidden = true;
  showMore();
  search();
}

async function search() {
  const query = trail[position];
  const number = ++request;
  if (query === undefined) return;
  const start = performance.now();
  element("status").textContent = "Searching…";
  try {
    const { found, engine, exact } = await ask(query);
    if (number !== request) return;
    const milliseconds = Math.round(performance.now() - start);
    const names = { scann: "ScaNN", milvus: "Milvus", exact: "without ScaNN" };
    const how = `${names[engine]}${exact ? ", exact" : ""}`;
    element("status").textContent =
      `${found.length} neighbors of ${query.name} in ${milliseconds} ms (${how}).`;
    element("results").replaceChildren(...found.map(card));
  } catch (error) {
    if (number !== request) return;
    element("status").textContent = `No answer: ${error.message}`;
    element("results").replaceChildren();
  }
}

function card(item) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(picture(item));
  addText(button, item.label ?? "", "label");
  addText(button, item.id, "id");
  if (item.similarity !== undefined) {
    addText(button, item.similarity.toFixed(3), "similarity", "similarity ");
  }
  button.addEventListener("click", () => {
    show({ name: item.id, image: item.thumbnail, id: item.id });
    element("results-heading").focus();
  });
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

function picture(item) {
  if (item.thumbnail === null) return noPicture();
  const image = document.createElement("img");
  image.addEventListener("error", () => image.replaceWith(noPicture()));
  image.alt = ""; // The text below says all that is known of it.
  image.loading = "lazy";
  sharpen(image);
  showThumbnail(image, item.thumbnail);
  return image;
}

function noPicture() {
  const text = document.createElement("span");
  text.className = "no-image";
  text.textContent = "no picture";
  return text;
}

async function showThumbnail(image, thumbnail) {
  image.dataset.thumbnail = thumbnail;
  const address = `v1/thumbnail${thumbnail.slice(thumbnail.indexOf("?"))}`;
  if (token === null) {
    image.src = address;
    return;
  }
  try {
    // An image's own request would be without the token.
    const picture = URL.createObjectURL(await (await fetchChecked(address)).blob());
    image.addEventListener("load", () => URL.revokeObjectURL(picture), { once: true });
    if (image.dataset.thumbnail === thumbnail) image.src = picture;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

// Images of few pixels are shown as such, not blurred.
function sharpen(image) {
  image.addEventListener("load", () => {
    image.classList.toggle("small", image.naturalWidth < 64);
  });
}

function addText(parent, text, kind, before = "") {
  const span = document.createElement("span");
  span.className = kind;
  span.textContent = before + text;
  parent.append(span);
}

function show(query) {
  position += 1;
  trail.splice(position, trail.length, query);
  history.pushState({ position }, "", address(query));
  display();
}

// An image of the index has an address that can be kept and sent; a file has none.
function address(query) {
  const own = query?.id === undefined ? {} : { id: query.id };
  const settings = { k: element("k").value, threshold: element("threshold").value };
  return `#${new URLSearchParams({ ...own, ...settings })}`;
}

// What the browser's address asks for: after Back, or where a page begins.
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const name of ["k", "threshold"]) {
    if (asked.has(name)) setSetting(name, asked.get(name));
  }
  const id = asked.get("id");
  position = history.state?.position ?? (id === null ? -1 : position + 1);
  if (id !== null && trail[position]?.id !== id) {
    trail[position] = { name: id, image: `?id=${encodeURIComponent(id)}`, id };
    history.replaceState({ position }, "");
  } // A file is lost where the page is loaded again.
  display();
}

function display() {
  const query = trail[position];
  element("back").disabled = position < 1;
  element("query").hidden = query === undefined;
  if (query === undefined) {
    element("status").textContent = "No query yet.";
    element("results").replaceChildren();
  } else {
    element("query-image").hidden = query.image === null;
    showQuery(element("query-image"), query);
    element("query-caption").textContent = query.name;
  }
  search();
}

function showQuery(image, query) {
  delete image.dataset.thumbnail;
  if (query.file === undefined && query.image !== null) {
    showThumbnail(image, query.image);
  } else {
    image.src = query.image ?? "data:,";
  }
}

function showFile(file) {
  if (file) show({ name: file.name, image: URL.createObjectURL(file), file });
}

async function showMore() {
  try {
    const address = `v1/items?offset=${shown}&limit=${PAGE}`;
    const { items, total } = await (await fetchChecked(address)).json();
    element("training").append(...items.map(card));
    shown += items.length;
    element("training-status").textContent =
      `${shown} of ${total}. Choose one to see its neighbors.`;
    element("more").hidden = shown >= total;
  } catch (error) {
    element("training-status").textContent = `No images: ${error.message}`;
  }
}

const DIGITS = { k: 0, threshold: 2 };

function setSetting(id, value) {
  element(id).value = value;
  element(`${id}-value`).textContent = Number(element(id).value).toFixed(DIGITS[id]);
}

for (const id of Object.keys(DIGITS)) {
  const input = element(id);
  input.addEventListener("input", () => setSetting(id, input.value));
  input.addEventListener("change", () => {
    history.replaceState(history.state, "", address(trail[position]));
    search();
  });
}
sharpen(element("query-image"));
element("query-image").addEventListener("error", (event) => {
  event.target.hidden = true;
});
element("settings").addEventListener("submit", (event) => event.preventDefault());
element("file").addEventListener("change", (event) => showFile(event.target.files[0]));
element("token-form").addEventListener("submit", useToken);
element("more").addEventListener("click", showMore);
element("back").addEventListener("click", () => history.back());
addEventListener("popstate", follow);
document.addEventListener("paste", (event) => showFile(event.clipboardData.files[0]));
// Anywhere: beside the box the browser would leave the page for the file.
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") showFile(event.dataTransfer.files[0]);
  });
}
showMore();
follow();
