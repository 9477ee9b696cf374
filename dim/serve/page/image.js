/** The image of a question: chosen, dropped or pasted, shown, and taken out again. */

import { visible } from "./element.js";

const at = (id) => document.getElementById(id);

export class ImageField {
  /** The image, or null. */
  file = null;
  readsImages = true;
  #maxBytes = Infinity;

  constructor() {
    at("image").addEventListener("change", () => this.#take([...at("image").files]));
    at("remove").addEventListener("click", () => {
      this.remove();
      at("image").focus();
    });
    const isFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault(); // so that a file is dropped here, and not opened
      document.body.classList.add("dragging");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dragging");
    });
    addEventListener("drop", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      document.body.classList.remove("dragging");
      this.#take([...event.dataTransfer.files]);
    });
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      this.#take(files);
    });
  }

  /** What the linker takes: whether it reads images, and how many bytes the server does. */
  limit(readsImages, maxBytes) {
    this.readsImages = readsImages;
    this.#maxBytes = maxBytes ?? Infinity;
    at("image-part").hidden = !readsImages;
  }

  set(file) {
    this.remove();
    this.file = file;
    at("preview-image").hidden = false;
    at("preview-image").src = URL.createObjectURL(file);
    at("preview-name").textContent = `${visible(file.name)} (${Math.ceil(file.size / 1000).toLocaleString("en")} kB)`;
    at("preview").hidden = false;
    at("drop").hidden = true;
  }

  remove() {
    if (this.file) URL.revokeObjectURL(at("preview-image").src);
    this.file = null;
    at("preview-image").removeAttribute("src");
    at("image").value = "";
    at("preview").hidden = true;
    at("drop").hidden = false;
    at("image-note").textContent = "";
  }

  #take(files) {
    if (!files.length || !this.readsImages) return;
    const [file] = files;
    let note = files.length > 1 ? `One image is read: ${file.name}. The others are left out.` : "";
    if (!file.type.startsWith("image/")) {
      note = `${file.name} is no image. Choose a PNG, JPEG or WebP file.`;
    } else if (file.size > this.#maxBytes) {
      const [size, limit] = [file.size, this.#maxBytes].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`);
      note = `${file.name} has ${size}, and the server takes ${limit}. Make the image smaller.`;
    } else {
      this.set(file);
    }
    at("image").value = ""; // so that the same file can be chosen again
    at("image-note").textContent = visible(note);
  }
}

at("preview-image").addEventListener("error", () => {
  at("preview-image").hidden = true; // a kind that this browser cannot show; the server may read it
});
