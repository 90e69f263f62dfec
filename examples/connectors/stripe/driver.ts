/** Reads a list of Stripe's objects: all of them, or those that were created since the last run. */

import { checks, extractor, http, progress, state, t, type Declared } from "@osiris/sdk";

interface Config {
  object: keyof typeof COLUMNS;
  created_from?: number;
  account?: string;
  incremental: boolean;
  page_size: number;
}

/** What the driver stores: the time of the newest object, and the objects of that second. */
interface Newest {
  created: number;
  ids: string[];
}

type Item = Record<string, any> & { id: string; created: number };

// The columns of each object besides `id`, `created`, `livemode`, `metadata` and `data`. Amounts are in the smallest unit
// of their currency, such as cents.
const COLUMNS = {
  charges: {
    amount: t.int, amount_captured: t.int, amount_refunded: t.int, currency: t.string, status: t.string, paid: t.bool,
    captured: t.bool, refunded: t.bool, disputed: t.bool, customer: t.string, payment_intent: t.string,
    balance_transaction: t.string, description: t.string, receipt_email: t.string, failure_code: t.string,
    failure_message: t.string,
  },
  customers: {
    email: t.string, name: t.string, phone: t.string, description: t.string, balance: t.int, currency: t.string,
    delinquent: t.bool,
  },
  refunds: {
    amount: t.int, currency: t.string, status: t.string, reason: t.string, charge: t.string, payment_intent: t.string,
    balance_transaction: t.string,
  },
  balance_transactions: {
    amount: t.int, fee: t.int, net: t.int, currency: t.string, type: t.string, status: t.string, source: t.string,
    reporting_category: t.string, description: t.string,
  },
} satisfies Record<string, Record<string, Declared>>;

// The host adds the key: the driver never sees it.
const session = (config: Pick<Config, "account">) =>
  http.session({
    baseUrl: "https://api.stripe.com/v1",
    headers: { "stripe-version": "2024-06-20", ...(config.account && { "stripe-account": config.account }) },
  });

export const extract = extractor<Config>((config, output) => {
  const columns = COLUMNS[config.object];
  const table = output.table("main", {
    id: t.string, created: t.instant, livemode: t.bool, ...columns, metadata: t.json, data: t.json,
  });
  const last = config.incremental ? state.get<Newest>() : undefined;
  const from = last?.created ?? config.created_from;
  const api = session(config);
  let newest: Newest = { created: last?.created ?? -1, ids: [...(last?.ids ?? [])] };
  let after: string | undefined;
  let read = 0;
  for (let more = true; more;) {
    const page = api.get(config.object, {
      params: { limit: config.page_size, ...(from && { "created[gte]": from }), ...(after && { starting_after: after }) },
    });
    const { data, has_more } = page.json<{ data: Item[]; has_more: boolean }>();
    const fresh = data.filter(({ id, created }) => !(created === last?.created && last.ids.includes(id)));
    table.write(fresh.map((item) => row(item, Object.keys(columns))));
    for (const { id, created } of fresh) {
      if (created > newest.created) newest = { created, ids: [] };
      if (created === newest.created) newest.ids.push(id);
    }
    progress((read += fresh.length));
    // The list is newest first, and each page begins after an object, so an object that is created meanwhile moves none.
    after = data.at(-1)?.id;
    more = has_more && after !== undefined;
  }
  if (config.incremental && newest.created >= 0) state.set(newest);
});

function row(item: Item, columns: string[]): Record<string, unknown> {
  const { id, livemode, metadata } = item;
  const created = new Date(item.created * 1000).toISOString();
  return {
    id, created, livemode, ...Object.fromEntries(columns.map((name) => [name, item[name]])), metadata, data: item,
  };
}

export const check = checks<Config>((config) => {
  const { livemode } = session(config).get("balance").json();
  return `Stripe (${livemode ? "live" : "test"} mode)`;
});
