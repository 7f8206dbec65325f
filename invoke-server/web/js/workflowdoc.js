// Workflow documents: from graphs and to graphs, and the fields that one is offered to fill in.
import { app } from "./app.js";

/** Inputs of a node's type, by name: those that a document lists. */
function inputsOf(type) {
  const properties = app.nodes[type]?.properties ?? {};
  return Object.entries(properties).filter(([name, schema]) => ["input", "internal"].includes(schema.field_kind) && !["id", "type"].includes(name));
}

/** The columns of nodes: everything stands right of what it needs. */
function columns(graph) {
  const depth = {};
  const into = id => graph.edges.filter(edge => edge.destination.node_id === id).map(edge => edge.source.node_id);
  const of = (id, path = new Set()) => {
    if (path.has(id)) return 0;
    depth[id] ??= Math.max(-1, ...into(id).map(from => of(from, new Set([...path, id])))) + 1;
    return depth[id];
  };
  Object.keys(graph.nodes).forEach(id => of(id));
  return depth;
}

/** A document from a graph. `labels` names nodes, `exposed` is `[node, field]` pairs. */
export function toWorkflow(graph, { name, description = "", labels = {}, exposed = [], author = "" }) {
  const depth = columns(graph);
  const rows = {};
  const nodes = Object.values(graph.nodes).map(({ id, type, is_intermediate: intermediate, use_cache: cached, ...values }) => {
    const column = depth[id];
    rows[column] = (rows[column] ?? -1) + 1;
    const inputs = Object.fromEntries(inputsOf(type).map(([field, schema]) => {
      const input = { name: field, label: "", description: "" };
      const value = values[field] ?? schema.default;
      return [field, value === undefined || value === null ? input : { ...input, value }];
    }));
    return {
      id, type: "invocation", position: { x: column * 360, y: rows[column] * 320 },
      data: { id, type, version: app.nodes[type]?.version ?? "1.0.0", nodePack: "invokeai", label: labels[id] ?? "", notes: "", isOpen: true, isIntermediate: intermediate, useCache: cached, inputs },
    };
  });
  const edges = graph.edges.map(({ source, destination }, index) => ({
    id: `edge-${index}`, type: "default", source: source.node_id, sourceHandle: source.field, target: destination.node_id, targetHandle: destination.field,
  }));
  return {
    name, author, description, version: "1.0.0", contact: "", tags: "", notes: "", exposedFields: exposed.map(([nodeId, fieldName]) => ({ nodeId, fieldName })),
    meta: { version: "3.0.0", category: "user" }, nodes, edges, form: null,
  };
}

function sent(name, value, board) {
  if (name !== "board") return value;
  if (value === "auto") return board;
  return value === "none" ? undefined : value;
}

/** The graph of a document. `board` is where results go whose node says “auto”. */
export function toGraph(workflow, board) {
  const nodes = {};
  for (const { id, type, data } of workflow.nodes) {
    if (type !== "invocation") continue;
    const node = { id, type: data.type, is_intermediate: Boolean(data.isIntermediate), use_cache: data.useCache ?? true };
    for (const [name, input] of Object.entries(data.inputs ?? {})) {
      const value = sent(name, input.value, board);
      if (value !== undefined && value !== null) node[name] = value;
    }
    nodes[id] = node;
  }
  const edges = workflow.edges.filter(edge => edge.type !== "collapsed" && nodes[edge.source] && nodes[edge.target])
    .map(edge => ({ source: { node_id: edge.source, field: edge.sourceHandle }, destination: { node_id: edge.target, field: edge.targetHandle } }));
  return { id: crypto.randomUUID?.() ?? String(Date.now()), nodes, edges };
}

function asField(workflow, nodeId, fieldName) {
  const node = workflow.nodes.find(one => one.id === nodeId && one.type === "invocation");
  if (!node) return null;
  if (workflow.edges.some(edge => edge.target === nodeId && edge.targetHandle === fieldName)) return null;
  const schema = app.nodes[node.data.type]?.properties?.[fieldName];
  if (!schema || schema.input === "connection") return null;
  const title = node.data.label || (app.nodes[node.data.type].title ?? node.data.type);
  const input = node.data.inputs?.[fieldName];
  const label = input?.label || (fieldName === "value" ? title : schema.title ?? words(fieldName));
  return { node, nodeId, fieldName, schema, title, label, value: input?.value };
}

function words(name) {
  const text = { cfg_scale: "guidance" }[name] ?? name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

/** Fields of one name are told apart by their nodes. */
function distinct(fields) {
  const same = label => fields.filter(one => one.label === label).length > 1;
  return fields.map(one => (same(one.label) && one.fieldName !== "value" ? { ...one, label: `${one.title}: ${one.label}` } : one));
}

/** The fields to fill in: those that the document exposes, or every free one if it exposes none. */
export function fieldsOf(workflow) {
  const elements = Object.values(workflow.form?.elements ?? {}).filter(element => element.type === "node-field").map(element => element.data.fieldIdentifier);
  const named = [...workflow.exposedFields, ...elements];
  const seen = new Set();
  const fields = named.map(({ nodeId, fieldName }) => {
    const key = `${nodeId} ${fieldName}`;
    if (seen.has(key)) return null;
    seen.add(key);
    return asField(workflow, nodeId, fieldName);
  }).filter(Boolean);
  if (fields.length) return distinct(fields);
  return distinct(workflow.nodes.flatMap(node => (node.type === "invocation" ? inputsOf(node.data.type).filter(([, schema]) => schema.field_kind === "input" && !schema.ui_hidden).map(([name]) => asField(workflow, node.id, name)) : [])).filter(Boolean));
}

/** Sets a field's value in the document. */
export function setField({ node, fieldName }, value) {
  node.data.inputs ??= {};
  node.data.inputs[fieldName] = { name: fieldName, label: "", description: "", ...node.data.inputs[fieldName], value };
}

/** Types of nodes of a document that this server does not have. */
export function unknownTypes(workflow) {
  return [...new Set(workflow.nodes.filter(node => node.type === "invocation" && !app.nodes[node.data.type]).map(node => node.data.type))];
}
