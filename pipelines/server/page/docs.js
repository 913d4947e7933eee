// The API as openapi.json tells it.

import { ask } from "./api.js";
import { element } from "./parts.js";

const place = document.getElementById("endpoints");

function resolve(schema, models) {
  return schema && schema.$ref ? models[schema.$ref.split("/").pop()] : schema;
}

function type(schema, models) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) {
    return [...new Set(schema.anyOf.map((part) => type(part, models)))].join(" | ");
  }
  const least = schema.minimum ?? schema.minItems ?? schema.minLength;
  const most = schema.maximum ?? schema.maxItems ?? schema.maxLength;
  const small = (bound) => bound !== undefined && Math.abs(bound) < 2 ** 53;
  const bounds = small(least) || small(most) ? ` (${least ?? ""}…${most ?? ""})` : "";
  if (schema.type === "array") return `list of ${type(schema.items, models)}${bounds}`;
  return `${schema.type || "any"}${bounds}`;
}

function table(rows) {
  const body = rows.map((cells) => {
    const [name, ...rest] = cells;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, name)),
      ...rest.map((cell) => element("td", {}, cell)),
    );
  });
  return element("table", {}, element("tbody", {}, ...body));
}

function fields(schema, models) {
  const required = schema.required || [];
  return table(
    Object.entries(schema.properties || {}).map(([name, field]) => [
      name,
      type(field, models) + (required.includes(name) ? ", required" : ""),
      field.description || "",
    ]),
  );
}

function endpoint(path, method, told, models) {
  const card = element(
    "section",
    { className: "card endpoint" },
    element(
      "h2",
      {},
      element("span", { className: "method" }, `${method.toUpperCase()} `),
      element("code", {}, path),
    ),
    element("p", {}, told.description || ""),
  );
  if (told.parameters) {
    card.append(
      table(
        told.parameters.map((p) => [
          p.name,
          type(p.schema, models) + (p.required ? ", required" : ""),
          p.schema.description || p.description || "",
        ]),
      ),
    );
  }
  const sent = told.requestBody?.content["application/json"]?.schema;
  if (sent) {
    const model = resolve(sent, models);
    card.append(fields(model, models));
    for (const example of model.examples || []) {
      card.append(element("pre", { tabIndex: 0 }, JSON.stringify(example)));
    }
  }
  const answers = Object.entries(told.responses).map(([status, answer]) => [
    status,
    answer.description,
    type(answer.content?.["application/json"]?.schema, models),
  ]);
  card.append(element("details", {}, element("summary", {}, "Answers"), table(answers)));
  return card;
}

try {
  const { paths, components } = await ask("openapi.json");
  const models = components.schemas;
  const cards = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => endpoint(path, method, told, models)),
  );
  const kinds = Object.entries(models).map(([name, model]) =>
    element(
      "section",
      { className: "card endpoint", id: name },
      element("h2", {}, element("code", {}, name)),
      element("p", {}, model.description || ""),
      fields(model, models),
    ),
  );
  place.replaceChildren(element("div", {}, ...cards), element("div", {}, ...kinds));
} catch (error) {
  place.replaceChildren(element("p", { role: "alert" }, error.message));
}
