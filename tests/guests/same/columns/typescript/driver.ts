/** Computes columns from the values of others. */

import { processor, t, type Declared } from "@osiris/sdk";

const nextDay = (day: string) => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
const negated = (price: string) => (price.startsWith("-") ? price.slice(1) : `-${price}`);

export const transform = processor((_config, inputs, output) => {
  for (const batch of inputs.only().batches()) {
    const add = <T>(name: string, type: Declared, source: string, compute: (value: T) => unknown) =>
      batch.set(
        name,
        type,
        batch.get<T>(source).map((value) => (value === null ? null : compute(value))),
      );
    add("double_qty", t.int, "qty", (qty: number) => 2 * qty);
    add("shout", t.string, "name", (name: string) => `${name}!`);
    add("owed", t.decimal(18, 2), "price", negated);
    add("not_flag", t.bool, "flag", (flag: boolean) => !flag);
    add("half", t.float, "ratio", (ratio: number) => ratio / 2);
    add("next_day", t.date, "day", nextDay);
    add("same_at", t.instant, "at", (at: string) => at);
    add("same_key", t.uuid, "key", (key: string) => key);
    add("tag_count", t.int, "tags", (tags: unknown[]) => tags.length);
    add("loud_tags", t.list(t.string), "tags", (tags: (string | null)[]) => tags.map((tag) => (tag === null ? null : `${tag}!`)));
    add("part_a", t.int, "part", (part: { a: number }) => part.a);
    output.append("main", batch);
  }
});
