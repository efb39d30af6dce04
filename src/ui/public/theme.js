// Sets the chosen light or dark before the first paint; a file of its own because the box allows no inline script.
try {
  const theme = localStorage.getItem("ilot.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing follows the system's choice.
}
