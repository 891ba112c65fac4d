//! A page that names its task, its node and who asks for it.

use std::io::Result;
use std::net::SocketAddr;

use super::http::{self, Request, Response};

/// What the page tells, in order.
fn facts(request: &Request, counter: Option<&str>) -> Vec<(&'static str, String)> {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".into());
    let mut facts = vec![
        ("task", variable("TASK")),
        ("node", variable("NODE")),
        ("container", variable("HOSTNAME")),
        ("peer", request.peer.ip().to_string()),
    ];
    if let Some(url) = counter {
        let visits = match http::get(url) {
            Ok((200, body)) => body.trim().to_owned(),
            Ok((status, _)) => format!("{url} answers {status}"),
            Err(error) => error.to_string(),
        };
        facts.push(("visits", visits));
    }
    facts
}

/// Serves the page.
pub fn serve(address: SocketAddr, counter: Option<String>) -> Result<()> {
    http::serve(address, move |request| match request.path.as_str() {
        "/health" => Response::text("ok\n".into()),
        "/" => {
            let facts = facts(&request, counter.as_deref());
            if request.wants_html { html(&facts) } else { text(&facts) }
        }
        _ => Response::not_found(),
    })
}

fn text(facts: &[(&str, String)]) -> Response {
    Response::text(facts.iter().map(|(name, value)| format!("{name} {value}\n")).collect())
}

fn html(facts: &[(&str, String)]) -> Response {
    let row = |(name, value): &(&str, String)| format!("<tr><th>{name}</th><td>{}</td></tr>", escape(value));
    let rows: String = facts.iter().map(row).collect();
    let body = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Orca</title>\
         <style>body{{font:16px/1.6 system-ui;max-width:32rem;margin:4rem auto;color:#123}}\
         th{{text-align:left;padding-right:2rem;font-weight:600}}</style>\
         <h1>Orca runs.</h1><table>{rows}</table><p>Reload to meet another task.</p></html>\n"
    );
    Response { content_type: "text/html; charset=utf-8", ..Response::text(body) }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
