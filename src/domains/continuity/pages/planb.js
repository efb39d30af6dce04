// Counts the plan's age on, and tells when the main program is back. The pages work without it.
"use strict";
(() => {
  const fr = document.documentElement.lang === "fr";
  const age = document.getElementById("age");
  const words = (minutes) => {
    if (minutes < 1) return fr ? "moins d’une minute" : "less than a minute";
    if (minutes === 1) return "1 minute";
    if (minutes < 60) return `${minutes} minutes`;
    if (minutes < 2880) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
    return `${Math.floor(minutes / 1440)} ${fr ? "jours" : "days"}`;
  };
  // The page's own clock may be wrong: only the time since it was opened is counted.
  const opened = performance.now();
  const shown = age ? Number(age.dataset.minutes) : 0;
  const tick = () => {
    if (age) age.textContent = words(shown + Math.floor((performance.now() - opened) / 60000));
  };
  const back = document.getElementById("back");
  const look = async () => {
    try {
      const answer = await fetch("/health", { cache: "no-store" });
      if (!answer.ok || answer.headers.get("x-ilot-mode") === "planb" || !back) return;
      const link = document.createElement("a");
      link.href = "/";
      link.textContent = back.dataset.text;
      back.replaceChildren(link);
      back.hidden = false;
      clearInterval(looking);
    } catch {
      // Nobody answers at the moment; the next look may find somebody.
    }
  };
  setInterval(tick, 15000);
  const looking = setInterval(look, 10000);
})();
