//! The OpenAPI description of the API as a page to read, outside of its routes. It needs no other page, script or network.

use std::fmt::Write as _;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};
use http_body_util::Full;
use serde_json::Value;

/// The description, which a test holds against the endpoints' types.
const OPENAPI: &str = include_str!("../../../../docs/openapi.json");

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    code{font-family:monospace;background:#f3f3f3;padding:0 .2em}table{border-collapse:collapse;margin:.5rem 0}\
    th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd}\
    h2{margin-top:3rem;border-bottom:2px solid #222}h3{margin-top:2rem}ul{margin:.2rem 0}";

const SERVICES: [(&str, &str); 4] = [
    ("as-", "Authentication service"),
    ("ks-", "Key server"),
    ("qs-", "Queuing service"),
    ("rs-", "Rendezvous service"),
];

/// The answer to a request that no route takes: the page at `/`, the description itself at `/openapi.json`.
pub(super) fn answer(method: &Method, path: &str) -> Option<Response<Full<Bytes>>> {
    static PAGE: OnceLock<String> = OnceLock::new();
    let (content, content_type) = match (method, path) {
        (&Method::GET, "/") => (PAGE.get_or_init(page).as_str(), "text/html; charset=utf-8"),
        (&Method::GET, "/openapi.json") => (OPENAPI, "application/json"),
        _ => return None,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(content.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    Some(response)
}

/// An operation and where it is.
struct Operation<'a> {
    method: String,
    path: &'a str,
    description: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(&self.description["operationId"])
    }
}

fn page() -> String {
    let document: Value = serde_json::from_str(OPENAPI).expect("a test reads the description");
    let mut operations = Vec::new();
    for (path, methods) in members(&document["paths"]) {
        let of_path = members(methods).map(|(method, description)| Operation {
            method: method.to_uppercase(),
            path,
            description,
        });
        operations.extend(of_path);
    }

    let mut page = String::new();
    let title = html(text(&document["info"]["title"]));
    push(&mut page, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    push(&mut page, &format!("<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>"));
    push(&mut page, &prose(&document["info"]["description"]));
    push(&mut page, "<p>The same for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>");
    for (prefix, service) in SERVICES {
        let of_service = || operations.iter().filter(|operation| operation.id().starts_with(prefix));
        push(&mut page, &format!("<h2>{service}</h2><ul>"));
        for operation in of_service() {
            let Operation { method, path, description } = operation;
            let (id, path, summary) = (operation.id(), html(path), inline(text(&description["summary"])));
            push(&mut page, &format!("<li><a href=\"#{id}\"><code>{method} {path}</code></a> {summary}</li>"));
        }
        push(&mut page, "</ul>");
        of_service().for_each(|operation| push_operation(&mut page, operation, &document));
    }
    push(&mut page, "<h2>Types</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        push(&mut page, &format!("<h3 id=\"{0}\">{0}</h3>", html(name)));
        push_schema(&mut page, schema);
    }
    push(&mut page, "</body></html>");
    page
}

fn push_operation(page: &mut String, operation: &Operation<'_>, document: &Value) {
    let Operation { method, path, description } = operation;
    let id = operation.id();
    push(page, &format!("<h3 id=\"{id}\"><code>{method} {}</code></h3>", html(path)));
    push(page, &format!("<p>{} Function: <code>{id}</code>.</p>", inline(text(&description["summary"]))));
    push(page, "<table>");
    for parameter in elements(&description["parameters"]) {
        let parameter = match parameter["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap_or(parameter),
            None => parameter,
        };
        let optional = if parameter["required"] == true { "" } else { ", optional" };
        let place = format!("{}{optional}", text(&parameter["in"]));
        let meaning = inline(text(&parameter["description"]));
        let name = html(text(&parameter["name"]));
        push(page, &format!("<tr><td><code>{name}</code></td><td>{place}</td><td>{meaning}</td></tr>"));
    }
    let body = &description["requestBody"];
    for (_, content) in members(&body["content"]) {
        let (of_type, limits) = (type_of(&content["schema"]), inline(text(&body["description"])));
        push(page, &format!("<tr><td>body</td><td>{of_type}</td><td>{limits}</td></tr>"));
    }
    for (status, response) in members(&description["responses"]) {
        let types: Vec<_> = members(&response["content"]).map(|(_, content)| type_of(&content["schema"])).collect();
        let meaning = prose(&response["description"]);
        push(page, &format!("<tr><td>{status}</td><td>{}</td><td>{meaning}</td></tr>", types.join(", ")));
    }
    push(page, "</table>");
}

fn push_schema(page: &mut String, schema: &Value) {
    push(page, &prose(&schema["description"]));
    let alternatives = elements(&schema["oneOf"]);
    if alternatives.is_empty() && schema["properties"].is_null() {
        push(page, &format!("<p>{}</p>", type_of(schema)));
    }
    for alternative in alternatives {
        match alternative["const"].as_str() {
            Some(name) => {
                let (name, meaning) = (html(name), inline(text(&alternative["description"])));
                push(page, &format!("<p><code>\"{name}\"</code>: {meaning}</p>"));
            }
            None => push_schema(page, alternative),
        }
    }
    if schema["properties"].is_null() {
        return;
    }
    push(page, "<table>");
    for (name, property) in members(&schema["properties"]) {
        let is_required = elements(&schema["required"]).iter().any(|required| *required == *name);
        let (of_type, optional) = (type_of(property), if is_required { "" } else { ", optional" });
        let (name, meaning) = (html(name), prose(&property["description"]));
        push(page, &format!("<tr><td><code>{name}</code></td><td>{of_type}{optional}</td><td>{meaning}</td></tr>"));
    }
    push(page, "</table>");
}

/// A type in a word or a few, with links to those that have a name.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = html(reference.rsplit('/').next().unwrap_or(reference));
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if let Some(constant) = schema["const"].as_str() {
        return format!("<code>\"{}\"</code>", html(constant));
    }
    let alternatives = elements(&schema["anyOf"]);
    if !alternatives.is_empty() {
        return alternatives.iter().map(type_of).collect::<Vec<_>>().join(" or ");
    }
    match (text(&schema["type"]), text(&schema["contentEncoding"]), text(&schema["format"])) {
        ("array", ..) => format!("list of {}", type_of(&schema["items"])),
        (of_type, "", "") => html(of_type),
        (of_type, encoding, "") => format!("{} ({})", html(of_type), html(encoding)),
        (of_type, _, format) => format!("{} ({})", html(of_type), html(format)),
    }
}

/// Paragraphs and lists out of a description.
fn prose(description: &Value) -> String {
    let mut prose = String::new();
    for paragraph in text(description).split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        if paragraph.starts_with("- ") {
            let items = paragraph.split("\n- ").map(|item| item.trim_start_matches("- "));
            let items: String = items.map(|item| format!("<li>{}</li>", inline(item))).collect();
            push(&mut prose, &format!("<ul>{items}</ul>"));
        } else {
            push(&mut prose, &format!("<p>{}</p>", inline(paragraph)));
        }
    }
    prose
}

/// A line with `code` in it.
fn inline(line: &str) -> String {
    let pieces = line.split('`').enumerate();
    pieces
        .map(|(index, piece)| if index % 2 == 1 { format!("<code>{}</code>", html(piece)) } else { html(piece) })
        .collect()
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn push(page: &mut String, piece: &str) {
    writeln!(page, "{piece}").expect("a string takes whatever is written");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every element that is begun is ended, in order.
    fn assert_well_formed(page: &str) {
        let mut open = Vec::new();
        for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(ended) => assert_eq!(open.pop(), Some(ended), "{tag}"),
                None if matches!(name, "!doctype" | "meta") => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn every_operation_and_every_type_is_on_the_page_and_every_link_leads_to_one() {
        let page = page();
        assert_well_formed(&page);
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        for (path, methods) in members(&document["paths"]) {
            for (method, operation) in members(methods) {
                let heading = format!(
                    "<h3 id=\"{}\"><code>{} {path}</code></h3>",
                    text(&operation["operationId"]),
                    method.to_uppercase()
                );
                assert!(page.contains(&heading), "{heading}");
            }
        }
        for (name, _) in members(&document["components"]["schemas"]) {
            assert!(page.contains(&format!("<h3 id=\"{name}\">")), "{name}");
        }
        for target in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("src="));
    }

    #[test]
    fn what_stands_in_a_description_stays_text() {
        assert_eq!(inline("a <b> `c & d` \"e\""), "a &lt;b&gt; <code>c &amp; d</code> &quot;e&quot;");
        assert_eq!(
            prose(&"one\ntwo\n\n- `x`: y\n- z".into()),
            "<p>one\ntwo</p>\n<ul><li><code>x</code>: y</li><li>z</li></ul>\n"
        );
    }

    #[test]
    fn types_are_named_in_words() {
        let types = [
            (r##"{"$ref":"#/a/Bytes"}"##, "<a href=\"#Bytes\">Bytes</a>"),
            (r#"{"type":"array","items":{"type":"integer"}}"#, "list of integer"),
            (r#"{"anyOf":[{"type":"string","format":"uuid"},{"type":"null"}]}"#, "string (uuid) or null"),
            (r#"{"type":"string","contentEncoding":"base64url"}"#, "string (base64url)"),
        ];
        for (schema, words) in types {
            assert_eq!(type_of(&serde_json::from_str(schema).unwrap()), words);
        }
    }
}
