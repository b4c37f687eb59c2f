"use strict";
// A picture follows its player: the line moves, notes that sound light up, a click is heard from there on.
function follow(figure) {
  const audio = figure.querySelector("audio"), picture = figure.querySelector(".sound");
  if (!audio || !picture) return;
  const line = picture.querySelector(".playhead"), width = picture.viewBox.baseVal.width;
  const notes = [...picture.querySelectorAll(".note")].map(note => {
    const from = note.x.baseVal.value;
    return { note, from, to: from + note.width.baseVal.value };
  });
  function show() {
    const time = Math.min(audio.currentTime, width);
    line.setAttribute("x1", time);
    line.setAttribute("x2", time);
    for (const { note, from, to } of notes) note.classList.toggle("sounds", !audio.paused && from <= time && time < to);
  }
  function keepShowing() {
    show();
    if (!audio.paused) requestAnimationFrame(keepShowing);
  }
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    keepShowing();
  });
  for (const event of ["pause", "seeked", "ended"]) audio.addEventListener(event, show);
  picture.addEventListener("click", event => {
    const box = picture.getBoundingClientRect();
    audio.currentTime = (event.clientX - box.left) / box.width * width;
    audio.play();
  });
}
