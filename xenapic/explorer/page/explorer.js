"use strict";
// Looks up what the model wrote, and shows it. No rule about Xen or a processor is in this file.
const data = JSON.parse(document.getElementById("data").textContent);
const SLOTS = 256, SHOWN = 64, ROW = 16, WAYS = ["d", "+", "-"], SETTINGS = ["d", "1", "0"];
const sides = [null, null];
const reports = new Map();   // by title: {xen, code, sources}; from the command, from files, from the address
let current = {op: 0, slot: 2};

for (const [title, report] of Object.entries(data.reports)) reports.set(title, report);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
const $ = (id) => document.getElementById(id);
const hex = (number, digits) => number.toString(16).toUpperCase().padStart(digits, "0");
const notice = (text) => { $("notice").textContent = text; $("notice").hidden = !text; };

// -- a choice, and what the model says about it -------------------------------------------------------

function usual() {
  const [title] = reports.keys();
  return {host: title === undefined ? "skylake-sp" : "", report: title === undefined ? "" : title, xen: "4.20", options: 0,
    state: data.states.findIndex(([name]) => name === "xapic"), by: "xen", xapic: "d", x2apic: "d",
    bits: data.bits.map(() => "d")};
}
const processorOf = (name) => data.processors.find((row) => row[0] === name);
const releaseOf = (side) => data.xen.findIndex(([name]) => name === (side.report ? reports.get(side.report).xen : side.xen));

function codeOf(side) {
  if (side.report) return reports.get(side.report).code;
  const pattern = data.patterns[processorOf(side.host)[4]];
  return data.codes[pattern[releaseOf(side) * data.options.length + side.options]];
}
const at = (index, place) => {
  const size = data.blocks[0].length;
  return data.blocks[index[Math.floor(place / size)]][place % size];
};
const counted = (letters, alphabet) => [...letters].reduce((sum, letter) => sum * alphabet.length + alphabet.indexOf(letter), 0);
const together = (indexes, place) => indexes.map((index) => at(index, place));

function answer(side) {
  const [technology, letters, offers] = codeOf(side).split(".");
  const perDomain = data.xen[releaseOf(side)][1];
  if (technology === "N") return {refused: "No PVH or HVM guest can run on this host, so there is no APIC to look at."};
  let numbers, note = "";
  if (side.by === "proposal") {
    const request = counted(side.bits, WAYS), bitmaps = letters[data.decisive - 1];
    const known = letters.slice(0, data.decisive - 1) + letters.slice(data.decisive);
    if (letters.includes("u")) return {refused: "The answer of the proposal depends on facts about this host that are unknown."};
    const row = technology === "S" ? "n".repeat(known.length) : known;
    if (!(row in data.proposal.resolved)) return {refused: "No Xen can use this combination of controls: the report is not of one host."};
    const result = at(data.proposal.resolved[row], request), all = 2 ** data.bits.length;
    const named = (mask) => data.bits.filter((_, place) => mask >> place & 1).join(", ") || "nothing";
    if (result >= all) {
      return {refused: `Refused: ${data.proposal.rules[result - all]}: ${named(at(data.proposal.refused[row], request))}`};
    }
    note = `The bits in force: ${named(result)}.`;
    numbers = technology === "S" ? data.svm[side.state] : together(data.proposal.vcpus[bitmaps][side.state], result);
  } else {
    let flags = "";
    if (perDomain) {
      const found = (data.assisted[offers] || {})[side.xapic + side.x2apic];
      if (found === undefined) return {refused: "It is unknown what this host offers to a domain."};
      if (typeof found === "string") return {refused: `No domain: ${found}`};
      flags = String(found);
      note = `The domain's misc_flags: ${found}.`;
    }
    numbers = technology === "S" ? data.svm[side.state]
      : together(data.released[flags][side.state], counted(letters.slice(0, data.decisive), Object.values(data.letters)));
  }
  const [table, modes, told] = numbers;
  return {refused: "", table: data.tables[table], modes: data.modes[modes], told: data.told[told], note, technology, letters};
}

function cellOf(found, op, slot) {
  const row = data.rows[found.table[0][op * (SLOTS / ROW) + Math.floor(slot / ROW)]];
  const [kind, ...variants] = data.cells[data.alphabet.indexOf(row[slot % ROW])];
  return {kind, variants: variants.map(([words, outcome]) => ({words, text: data.outcomes[outcome][0],
    exits: data.outcomes[outcome][1] !== "", basis: data.outcomes[outcome][2]}))};
}
const textOf = (cell) => cell.variants.map(({words, text}) => (words ? `${words}: ${text}` : text)).join("; ");
const isMsr = (side) => data.states[side.state][2];
const placeOf = (side, slot) => (isMsr(side) ? hex(data.msr + slot, 3) : hex(slot * ROW, 3));
const registerOf = (slot) => data.registers[slot * ROW] || ["", "reserved", "", ""];
const rights = (side, slot) => registerOf(slot)[isMsr(side) ? 3 : 2];
const exists = (side, op, slot) => rights(side, slot).includes(data.operations[op][0]);
const askedBits = (side) => data.bits.map((name, place) => (side.bits[place] === "d" ? "" : side.bits[place] + name)).filter(Boolean).join(" ");
const askedFlags = (side) => ["xapic", "x2apic"].map((name) => (side[name] === "d" ? "" : `assisted_${name}=${side[name]}`)).filter(Boolean).join(" ");
function titleOf(side) {
  const [xen, perDomain] = data.xen[releaseOf(side)], asked = side.by === "proposal" ? `the proposal ${askedBits(side)}`.trim()
    : perDomain ? askedFlags(side) : "";
  return [side.report || side.host, `Xen ${xen}`, side.report ? "" : data.options[side.options], data.states[side.state][1], asked]
    .filter(Boolean).join(", ");
}

// -- the address --------------------------------------------------------------------------------------

function written(side, prefix, into) {
  const set = (name, value) => into.set(prefix + name, value);
  if (side.report) { set("report", side.report); set("host", `${reports.get(side.report).xen}:${reports.get(side.report).code}`); }
  else {
    set("processor", side.host);
    set("xen", side.xen);
    if (side.options) set("options", data.options[side.options]);
  }
  set("state", data.states[side.state][0]);
  if (side.by === "proposal") set("proposal", askedBits(side));
  for (const name of ["xapic", "x2apic"]) if (side[name] !== "d") set(`assisted_${name}`, side[name]);
}

function read(from, prefix) {
  const side = usual(), get = (name) => from.get(prefix + name), wrong = [];
  const take = (name, known, use) => {
    const value = get(name);
    if (value === null) return;
    const place = known.indexOf(value);
    if (place < 0) wrong.push(`${prefix}${name}=${value}`); else use(value, place);
  };
  if (get("host") !== null) {
    const [, xen, code] = /^([^:]*):([VSN]\.[ynu]{7}\.[ynu]{2})$/.exec(get("host")) || [];
    if (code && data.xen.some(([name]) => name === xen)) {
      const title = (get("report") || "a host").slice(0, 80), held = reports.get(title);
      if (!held || held.code !== code || held.xen !== xen) reports.set(title, {xen, code, sources: {}});
      side.report = title;
    } else wrong.push(`${prefix}host=${get("host")}`);
  } else if (get("processor") !== null) {
    side.report = "";
    side.host = "skylake-sp";
    take("processor", data.processors.map(([name]) => name), (value) => { side.host = value; });
  }
  take("xen", data.xen.map(([name]) => name), (value) => { side.xen = value; });
  take("options", data.options, (_, place) => { side.options = place; });
  take("state", data.states.map(([name]) => name), (_, place) => { side.state = place; });
  take("assisted_xapic", SETTINGS, (value) => { side.xapic = value; });
  take("assisted_x2apic", SETTINGS, (value) => { side.x2apic = value; });
  if (get("proposal") !== null) {
    side.by = "proposal";
    for (const part of get("proposal").split(" ").filter(Boolean)) {
      const place = data.bits.indexOf(part.slice(1));
      if (place < 0 || !WAYS.slice(1).includes(part[0])) wrong.push(`${prefix}proposal=${part}`); else side.bits[place] = part[0];
    }
  }
  return [side, wrong];
}

function toAddress() {
  const into = new URLSearchParams();
  written(sides[0], "", into);
  if (sides[1]) written(sides[1], "b.", into);
  if ($("all").checked) into.set("all", "1");
  history.replaceState(null, "", `#${into}`);
}

function fromAddress() {
  const from = new URLSearchParams(location.hash.slice(1));
  const [first, wrong] = read(from, "");
  const second = [...from.keys()].some((name) => name.startsWith("b.")) ? read(from, "b.") : null;
  sides[0] = first;
  sides[1] = second && second[0];
  $("all").checked = from.get("all") === "1";
  const all = [...wrong, ...(second ? second[1] : [])];
  notice(all.length ? `The address asks for what this page does not have; the usual is shown instead: ${all.join(", ").slice(0, 300)}` : "");
  drawChoices();
  show();
}

// -- a report or a recording --------------------------------------------------------------------------

function understood(name, json) {
  const title = name.replace(/\.json$/i, "").slice(0, 80) || "a file";
  const letter = (value) => data.letters[value] || data.letters.unknown;
  if (json && json.schema === "xenapic/host/1") {
    const facts = data.keys.map((key) => (json.features || {})[key] || {});
    const names = ((json.physinfo || {}).capabilities || {}).names || [];
    const guests = data.guest_needs.every((any) => any.some((need) => names.includes(need)));
    const technology = {VMX: "V", SVM: "S"}[guests ? json.technology : null] || "N";
    const release = data.xen.find(([known]) => known === json.release);
    if (!release) throw new Error(`it is of Xen ${String(json.release).slice(0, 20)}, which this page does not know`);
    const offers = release[1] ? ["assisted_xapic", "assisted_x2apic"].map((key) => letter((json[key] || {}).answer)).join("") : "nn";
    return [title, {xen: release[0], code: `${technology}.${facts.map((fact) => letter(fact.answer)).join("")}.${offers}`,
      sources: Object.fromEntries(data.keys.map((key, place) => [key, String(facts[place].source || "")]))}];
  }
  if (json && json.physinfo && Array.isArray(json.xen_options) && typeof json.processor === "string") {
    const release = data.xen.findIndex(([known]) => known === json.xen || (known + ".") === String(json.xen).slice(0, known.length + 1));
    if (release < 0) throw new Error(`it is of Xen ${String(json.xen).slice(0, 20)}, which this page does not know`);
    const row = processorOf(json.processor);
    if (!row) throw new Error("it does not name a processor of the table");
    const options = json.xen_options.reduce((last, text) => (text in data.spellings ? data.spellings[text] : last), 0);
    const code = data.codes[data.patterns[row[4]][release * data.options.length + options]];
    return [title, {xen: data.xen[release][0], code, sources: Object.fromEntries(data.keys.map((key) => [key, `recording of processor ${row[0]} (${row[3]})`]))}];
  }
  throw new Error("it is neither a host report (xenapic host --json) nor a recording (xenapic verify --record)");
}

async function takeFile(file, which) {
  try {
    if (file.size > 16e6) throw new Error("it is larger than 16 MB");
    const [title, report] = understood(file.name, JSON.parse(await file.text()));
    let free = title;
    for (let more = 2; reports.has(free) && reports.get(free).code !== report.code; more += 1) free = `${title} (${more})`;
    reports.set(free, report);
    sides[which].report = free;
    notice("");
    drawChoices();
    show();
  } catch (error) {
    notice(`${file.name.slice(0, 80)} was not taken: ${error instanceof SyntaxError ? "it is no JSON" : error.message}`);
  }
}

// -- drawing ------------------------------------------------------------------------------------------

function select(which, name, label, options, value, css = "") {
  const box = element("select", {id: `${name}${which}`, onchange: (event) => change(which, name, event.target.value)});
  for (const group of options) {
    const parts = group.options.map(([key, text]) => element("option", {value: key, selected: key === value}, text));
    box.append(...(group.label ? [element("optgroup", {label: group.label}, ...parts)] : parts));
  }
  return element("label", {class: `field ${css}`}, label, box);
}
const plain = (pairs) => [{options: pairs}];

function drawChoices() {
  const drawn = sides.map((side, which) => (side ? fieldset(side, which) : null)).filter(Boolean);
  $("choices").replaceChildren(...drawn);
  document.body.classList.toggle("two", Boolean(sides[1]));
  $("compare").setAttribute("aria-pressed", String(Boolean(sides[1])));
  $("compare").textContent = sides[1] ? "Stop comparing" : "Compare with a second choice";
}

function fieldset(side, which) {
  const kinds = [["Real processors", ""], ["Models of Bochs", "bochs"], ["Models of QEMU", "qemu"]];
  const hosts = kinds.map(([label, by]) => ({label, options: data.processors.filter((row) => row[2] === by)
    .map(([name, title]) => [name, title === name ? name : `${name} – ${title}`])}));
  if (reports.size) hosts.unshift({label: "Reports", options: [...reports.keys()].map((title) => [`report ${title}`, title])});
  const fixed = Boolean(side.report), perDomain = data.xen[releaseOf(side)][1];
  const settings = [["d", "not set"], ["1", "1"], ["0", "0"]];
  const parts = [
    select(which, "host", "Host", hosts, fixed ? `report ${side.report}` : side.host, "wide"),
    select(which, "xen", "Xen", plain(data.xen.map(([name]) => [name, name])), data.xen[releaseOf(side)][0]),
    select(which, "options", "Xen's boot options", plain(data.options.map((text, place) => [String(place), text || "none"])), String(side.options)),
    select(which, "state", "Guest's APIC", plain(data.order.map((place) => [String(place), data.states[place][1]])), String(side.state)),
    select(which, "by", "Decided by", plain(Object.entries(data.interfaces)), side.by),
  ];
  if (fixed) for (const part of parts.slice(1, 3)) part.querySelector("select").disabled = true;
  if (side.by === "proposal") {
    parts.push(element("div", {class: "bits"}, ...data.bits.map((name, place) =>
      select(which, `bit${place}.`, name, plain([["d", "default"], ["+", "on"], ["-", "off"]]), side.bits[place]))));
  } else if (perDomain) {
    parts.push(select(which, "xapic", "assisted_xapic", plain(settings), side.xapic),
      select(which, "x2apic", "assisted_x2apic", plain(settings), side.x2apic));
  }
  const file = element("input", {type: "file", id: `file${which}`, accept: ".json,application/json",
    onchange: (event) => { if (event.target.files[0]) takeFile(event.target.files[0], which); }});
  parts.push(element("label", {class: "field"}, "or a host report or recording (JSON): choose it, or drop it here", file));
  const over = (on) => (event) => { event.preventDefault(); event.stopPropagation(); box.classList.toggle("over", on); };
  const box = element("fieldset", {id: `side${which}`, ondragover: over(true), ondragleave: over(false), ondrop: (event) => {
    over(false)(event);
    if (event.dataTransfer.files[0]) takeFile(event.dataTransfer.files[0], which);
  }}, element("legend", {}, sides[1] ? ["First", "Second"][which] : "Choice"), ...parts);
  return box;
}

function change(which, name, value) {
  const side = sides[which], bit = /^bit(\d)\.$/.exec(name);
  if (bit) side.bits[Number(bit[1])] = value;
  else if (name === "host") {
    side.report = value.startsWith("report ") ? value.slice(7) : "";
    if (!side.report) side.host = value;
  } else side[name] = name === "options" || name === "state" ? Number(value) : value;
  const focused = document.activeElement && document.activeElement.id;
  notice("");
  drawChoices();
  if (focused && $(focused)) $(focused).focus();
  show();
}

function show() {
  const found = sides.map((side) => side && answer(side));
  const maps = sides.map((side, which) => (side ? result(side, found[which], which, found[1 - which]) : null)).filter(Boolean);
  $("results").replaceChildren(...maps);
  legend(found);
  differences(found);
  detail(found);
  toAddress();
  document.title = sides.filter(Boolean).map(titleOf).join(" | ");
}

function legend(found) {
  const drawn = new Set([...document.querySelectorAll(".map td b")].map((cell) => cell.textContent));
  $("legend").replaceChildren(...data.looks.filter(([letter]) => drawn.has(letter)).map(([letter, css, words]) =>
    element("li", {}, element("span", {class: css}, element("b", {}, letter)), words)));
  if (found.some((each) => each && !each.refused)) $("legend").append(element("li", {}, "pale: the architecture has no such access"));
  if (sides[1]) $("legend").append(element("li", {}, element("span", {class: "differs sample"}, "\u00a0"), "differs"));
}

function summary(found, op) {
  const shares = found.table[1 + op], total = shares.reduce((sum, each) => sum + each, 0);
  const parts = shares.map((number, kind) => (number ? `${number} ${data.looks[kind][3]}` : "")).filter(Boolean);
  return `Of ${total} ${data.operations[op]}s that the architecture allows: ${parts.join(", ")}.`;
}

function result(side, found, which, other) {
  const section = element("section", {id: `result${which}`, "aria-label": titleOf(side)});
  if (found.refused) {
    section.append(element("h2", {}, titleOf(side)), element("p", {class: "warn"}, found.refused));
    return section;
  }
  const words = {y: "on", n: "off", u: "unknown"}, yes = (value, on, off) => (value === null ? "unknown" : value ? on : off);
  const facts = [found.note], head = element("div", {}, element("h2", {}, titleOf(side)));
  if (found.technology === "V") {
    const modes = data.modes_of.map((key, place) => `'${data.features[key]}' ${words[found.modes[place]]}`);
    facts.push(`In this state of the APIC: ${modes.join(", ")}.`);
  } else facts.push("AMD: Xen intercepts every access.");
  const [leaf, msrs, overlay] = found.told;
  const bits = Object.entries(data.leaf_bits).filter(([, bit]) => leaf & bit).map(([name]) => name).join(", ") || "none of its APIC bits";
  facts.push(`The guest is told in CPUID (base + 4): ${leaf === null ? "unknown" : bits}. Windows with Viridian: ` +
    `${yes(msrs, "use MSRs for the APIC", "no hint to use MSRs")}, APIC overlay ${yes(overlay, "yes", "no")}.`);
  facts.push(summary(found, 0), summary(found, 1));
  head.append(element("ul", {class: "facts"}, ...facts.filter(Boolean).map((text) => element("li", {}, text))));
  const memory = data.looks.findIndex(([, css]) => css === "m");
  if (data.states[side.state][0] === "xapic" && found.table.slice(1).some((shares) => shares[memory])) {
    head.append(element("p", {class: "warn"}, `Without the flag: ${data.plain_memory.replace(/^without it, /, "")}.`));
  }
  section.append(head, element("div", {class: "maps"}, ...[0, 1].map((op) => map(side, found, which, op, other))));
  return section;
}

function map(side, found, which, op, other) {
  const rows = $("all").checked ? SLOTS / ROW : SHOWN / ROW, table = element("table", {class: "map", role: "grid", id: `map${which}${op}`,
    "aria-rowcount": rows + 1, onkeydown: (event) => move(event, which, op), onfocusin: asked, onclick: (event) => {
      const cell = event.target.closest("td");
      if (cell) cell.focus();
    }});
  table.append(element("caption", {}, `${op ? "Writes" : "Reads"}, by ${isMsr(side) ? "MSR" : "offset in the page"}`));
  const head = element("tr", {role: "row"}, element("th", {}));
  for (let column = 0; column < ROW; column += 1) head.append(element("th", {scope: "col"}, isMsr(side) ? hex(column, 1) : `${hex(column, 1)}0`));
  table.append(element("thead", {}, head));
  const body = element("tbody", {});
  for (let row = 0; row < rows; row += 1) {
    const line = element("tr", {role: "row"}, element("th", {scope: "row"}, placeOf(side, row * ROW)));
    for (let slot = row * ROW; slot < (row + 1) * ROW; slot += 1) line.append(drawCell(side, found, which, op, slot, other));
    body.append(line);
  }
  table.append(body);
  return table;
}

const wordsOf = (side, op, slot) => `${data.operations[op]} ${placeOf(side, slot)} ${registerOf(slot)[0] || "reserved"}`;

function drawCell(side, found, which, op, slot, other) {
  const cell = cellOf(found, op, slot), [letter, css] = data.looks[cell.kind];
  const differs = other && !other.refused && textOf(cellOf(other, op, slot)) !== textOf(cell);
  const chosen = current.op === op && current.slot === slot;
  return element("td", {class: [css, exists(side, op, slot) ? "" : "none", differs ? "differs" : ""].filter(Boolean).join(" "),
    role: "gridcell", tabindex: chosen ? "0" : "-1", "data-slot": slot, "data-op": op, "data-text": textOf(cell),
    title: `${wordsOf(side, op, slot)}: ${textOf(cell)}`,
    "aria-label": `${wordsOf(side, op, slot)}: ${textOf(cell)}${differs ? "; differs" : ""}`},
    element("b", {}, letter), element("i", {"aria-hidden": true}, registerOf(slot)[0] || " "));
}

function asked(event) {
  const cell = event.target.closest("td");
  if (!cell) return;
  $("detail").classList.add("asked");
  choose(Number(cell.dataset.op), Number(cell.dataset.slot));
}

function choose(op, slot) {
  for (const cell of document.querySelectorAll(".map td[tabindex='0']")) cell.tabIndex = -1;
  current = {op, slot};
  for (const cell of document.querySelectorAll(`.map td[data-op='${op}'][data-slot='${slot}']`)) cell.tabIndex = 0;
  detail(sides.map((side) => side && answer(side)));
}

function move(event, which, op) {
  const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -ROW, ArrowDown: ROW};
  const rows = $("all").checked ? SLOTS : SHOWN, row = current.slot - current.slot % ROW;
  let slot = current.slot;
  if (event.key in steps) slot += steps[event.key];
  else if (event.key === "Home") slot = event.ctrlKey ? 0 : row;
  else if (event.key === "End") slot = event.ctrlKey ? rows - 1 : row + ROW - 1;
  else return;
  event.preventDefault();
  if (slot < 0 || slot >= rows) return;
  document.querySelector(`#map${which}${op} td[data-slot='${slot}']`).focus();
}

function detail(found) {
  const parts = sides.map((side, which) => (side && !found[which].refused ? detailOf(side, found[which]) : null)).filter(Boolean);
  $("detail").classList.toggle("two-sides", parts.length > 1);
  $("detail").replaceChildren(...parts);
}

function detailOf(side, found) {
  const {op, slot} = current, cell = cellOf(found, op, slot), [symbol, name] = registerOf(slot), lines = [];
  const add = (term, text) => { if (text) lines.push(element("dt", {}, term), element("dd", {}, text)); };
  for (const {words, text, exits, basis} of cell.variants) {
    add(words || "what happens", text);
    if (exits) add("then", data.after[Number(data.after_of[side.state][op * SLOTS + slot])]);
    add("manual", basis);
  }
  const places = side.by === "proposal" ? "proposal" : found.technology === "S" ? "svm" : "vmx";
  add("set by Xen in", data.places[places]);
  if (cell.variants.some(({exits}) => exits)) add("emulated in", data.places.after);
  if (found.technology === "V") {
    const words = {y: "yes", n: "no", u: "unknown"};
    add("this host's Xen uses", data.keys.map((key, place) => `${data.features[key]}: ${words[found.letters[place]]}`).join("; "));
  }
  add("known from", sourceOf(side));
  return element("div", {}, element("h2", {}, `${data.operations[op]} of ${symbol || "a reserved place"}, ${isMsr(side) ? "MSR" : "offset"} ` +
    `${placeOf(side, slot)}`), element("p", {}, `${name}${exists(side, op, slot) ? "" : `; ${rights(side, slot) ? `it cannot be ${op ? "written" : "read"} in this mode` : "this mode has no such register"}`}`),
    element("dl", {}, ...lines));
}

function sourceOf(side) {
  if (!side.report) return `processor ${side.host} (${processorOf(side.host)[3]})`;
  const by = new Map();
  for (const [key, source] of Object.entries(reports.get(side.report).sources)) {
    if (source) by.set(source, [...(by.get(source) || []), data.features[key]]);
  }
  return [...by].map(([source, names]) => `${names.join(", ")}: ${source}`).join("; ") || "the address; the report itself has the sources";
}

// -- differences --------------------------------------------------------------------------------------

function differences(found) {
  const box = $("differences");
  box.hidden = !sides[1];
  if (!sides[1]) return;
  if (found.some((each) => each.refused)) { box.replaceChildren(element("p", {}, "Nothing to compare: there is no guest on one side.")); return; }
  const lines = [];
  let number = 0;
  for (const op of [0, 1]) {
    for (let slot = 0; slot < SLOTS; slot += 1) {
      const texts = found.map((each) => textOf(cellOf(each, op, slot)));
      if (texts[0] === texts[1]) continue;
      number += 1;
      const last = lines[lines.length - 1], name = registerOf(slot)[0];
      const same = last && last.op === op && last.to === slot - 1 && last.key === texts.join("\n");
      if (same) { last.to = slot; if (name) last.names.push(name); }
      else lines.push({op, from: slot, to: slot, key: texts.join("\n"), texts, names: name ? [name] : []});
    }
  }
  const place = (line) => sides.map((side) => line.from === line.to ? placeOf(side, line.from) : `${placeOf(side, line.from)}–${placeOf(side, line.to)}`)
    .filter((text, which, all) => all.indexOf(text) === which).join(" / ");
  const names = (line) => (line.names.length > 4 ? `${line.names[0]} … ${line.names[line.names.length - 1]}` : line.names.join(", ")) || "reserved";
  const table = element("table", {}, element("tr", {}, ...["Place", "Register", "", titleOf(sides[0]), titleOf(sides[1])].map((text) => element("th", {scope: "col"}, text))),
    ...lines.map((line) => element("tr", {}, ...[place(line), names(line), data.operations[line.op], ...line.texts].map((text) => element("td", {}, text)))));
  box.replaceChildren(element("h2", {}, `${number} of ${2 * SLOTS} accesses differ`), ...(number ? [table] : []));
}

// -- start --------------------------------------------------------------------------------------------

$("compare").addEventListener("click", () => {
  sides[1] = sides[1] ? null : {...sides[0], bits: [...sides[0].bits]};
  drawChoices();
  show();
});
$("all").addEventListener("change", () => {
  if (!$("all").checked && current.slot >= SHOWN) current = {op: current.op, slot: 2};
  show();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer && event.dataTransfer.files[0]) takeFile(event.dataTransfer.files[0], 0);
});
addEventListener("hashchange", fromAddress);
fromAddress();
