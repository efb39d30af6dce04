// Light or dark: the system's choice unless the reader made one.
import { keep, kept } from "../i18n/language.svelte";

export type Theme = "system" | "light" | "dark";
const KEPT = "ilot.theme";

function first(): Theme {
  const value = kept(KEPT);
  return value === "light" || value === "dark" ? value : "system";
}

class Look {
  theme = $state<Theme>(first());

  choose(theme: Theme): void {
    this.theme = theme;
    keep(KEPT, theme === "system" ? null : theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }
}

export const look = new Look();
