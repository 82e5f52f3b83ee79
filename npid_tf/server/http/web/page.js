// The page: a query, its neighbors, and the images that can be searched.

const PAGE = 60;
const element = (id) => document.getElementById(id);
const trail = []; // Queries so far, the one shown last.
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
  const query = trail.at(-1);
  if (query === undefined) return;
  const number = ++request;
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
  if (item.thumbnail === null) {
    const text = document.createElement("span");
    text.className = "no-image";
    text.textContent = "no picture";
    return text;
  }
  const image = document.createElement("img");
  image.alt = ""; // The text below says all that is known of it.
  image.loading = "lazy";
  sharpen(image);
  showThumbnail(image, item.thumbnail);
  return image;
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
  } catch (error) {
    image.alt = error.message;
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
  trail.push(query);
  display();
}

function display() {
  const query = trail.at(-1);
  element("query").hidden = false;
  element("query-image").hidden = query.image === null;
  showQuery(element("query-image"), query);
  element("query-caption").textContent = query.name;
  element("back").disabled = trail.length < 2;
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

function onSetting(id, text) {
  const input = element(id);
  input.addEventListener("input", () => {
    element(`${id}-value`).textContent = text(input.value);
  });
  input.addEventListener("change", search);
}

onSetting("k", (value) => value);
onSetting("threshold", (value) => Number(value).toFixed(2));
sharpen(element("query-image"));
element("settings").addEventListener("submit", (event) => event.preventDefault());
element("file").addEventListener("change", (event) => showFile(event.target.files[0]));
element("token-form").addEventListener("submit", useToken);
element("more").addEventListener("click", showMore);
element("back").addEventListener("click", () => {
  trail.pop();
  display();
});
document.addEventListener("paste", (event) => showFile(event.clipboardData.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  element("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") showFile(event.dataTransfer.files[0]);
  });
}
showMore();
