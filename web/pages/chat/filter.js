// Which documents answers come from: kind, department and the day on which they are in force, as the metadata of the documents has them.
import { files } from "./api.js";
import { element } from "./view.js";

const FIELDS = ["kind", "department", "in_force_on"];

export class Narrowing {
  constructor(at, words) {
    this.at = at;
    this.words = words;
    this.values = { kind: [], department: [] };
    this.dated = false;
    this.allowed = true;
    at("narrow").onclick = () => this.open(at("filter").hidden);
    at("unfilter").onclick = () => {
      for (const name of FIELDS) at(name).value = "";
      this.render();
      this.open(false);
      at("narrow").focus();
    };
    for (const name of FIELDS) at(name).onchange = () => this.render();
    at("filter").onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.open(false);
      at("narrow").focus();
    };
  }

  async load(key) {
    const about = (await files(key)).filter((file) => !file.hidden && file.status === "processed").map((file) => file.metadata);
    for (const name of ["kind", "department"]) this.values[name] = [...new Set(about.map((one) => one[name]).filter(Boolean))].sort();
    this.dated = about.some((one) => one.valid_from || one.valid_to);
    this.render();
  }

  // mode plain asks no documents.
  allow(allowed) {
    this.allowed = allowed;
    if (!allowed) this.open(false);
    this.render();
  }

  open(open) {
    this.at("filter").hidden = !open;
    this.at("narrow").setAttribute("aria-expanded", open);
    if (open) this.at("filter").querySelector("label:not([hidden]) > :is(select, input)")?.focus();
  }

  // The field `filter` of a request; undefined where nothing is left out.
  chosen() {
    const set = FIELDS.filter((name) => this.at(name).value);
    if (!set.length) return undefined;
    return Object.fromEntries(set.map((name) => [name, name === "in_force_on" ? this.at(name).value : [this.at(name).value]]));
  }

  told(filter) {
    return `${this.words().filter}: ${Object.values(filter).flat().join(" · ")}`;
  }

  render() {
    const words = this.words(), at = this.at;
    for (const name of ["kind", "department"]) {
      const before = at(name).value;
      const every = Object.assign(element("option", "", words.every), { value: "" });
      at(name).replaceChildren(every, ...this.values[name].map((value) => Object.assign(element("option", "", value), { value })));
      at(name).value = this.values[name].includes(before) ? before : "";
      at(name).parentElement.hidden = !this.values[name].length;
    }
    at("in_force_on").parentElement.hidden = !this.dated;
    const count = Object.keys(this.chosen() ?? {}).length;
    at("narrow").hidden = !this.allowed || !(this.dated || this.values.kind.length || this.values.department.length);
    at("narrow").textContent = count ? `${words.filter} · ${count}` : words.filter;
    at("narrow").classList.toggle("on", count > 0);
    at("unfilter").hidden = !count;
  }
}
