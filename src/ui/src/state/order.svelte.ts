// In which order a table stands: by which column, and which way.
import { language } from "../i18n/language.svelte";

export type Worth = string | number | boolean | null | undefined;

export class Order<Column extends string> {
  column: Column = $state() as Column;
  downwards = $state(false);

  constructor(
    column: Column,
    downwards = false,
    /** Columns that are first wanted with the largest on top: dates and counts. */
    private readonly large: readonly Column[] = [],
  ) {
    this.column = column;
    this.downwards = downwards;
  }

  by(column: Column): void {
    if (this.column === column) this.downwards = !this.downwards;
    else {
      this.column = column;
      this.downwards = this.large.includes(column);
    }
  }

  /** `rows` in this order; what is unknown stands last either way. */
  sort<Row>(rows: readonly Row[], worth: (row: Row, column: Column) => Worth): Row[] {
    const compare = new Intl.Collator(language.code, { numeric: true, sensitivity: "base" }).compare;
    const { column, downwards } = this;
    return [...rows].sort((a, b) => {
      const [x, y] = [worth(a, column), worth(b, column)];
      if (x === null || x === undefined || x === "") return y === null || y === undefined || y === "" ? 0 : 1;
      if (y === null || y === undefined || y === "") return -1;
      const order = typeof x === "string" && typeof y === "string" ? compare(x, y) : Number(x) - Number(y);
      return downwards ? -order : order;
    });
  }
}
