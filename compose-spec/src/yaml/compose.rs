//! Parser events to nodes. An explicit stack instead of recursion, so that nesting costs heap and not stack.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{DEPTH_LIMIT, NODE_BUDGET, scalar};
use crate::error::Error;
use crate::node::{Directive, Map, Node, SourceId, Span, Value};

/// A collection whose end hasn't come yet.
struct Frame {
    node: Node,
    anchor: usize,
    /// The key whose value comes next, in a mapping.
    key: Option<(String, Span)>,
    /// Values of `<<`, in order.
    merges: Vec<Node>,
    merge_key: Option<Span>,
    /// Where `<<` stands, once it came.
    merged_at: Option<u32>,
}

/// Whether the scalar that comes is a key.
enum Slot {
    Key,
    Value,
}

pub struct Composer {
    source: SourceId,
    stack: Vec<Frame>,
    /// What each anchor names, with its size and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    nodes: usize,
    copied: usize,
    done: Vec<Node>,
}

impl Composer {
    pub fn new(source: SourceId) -> Self {
        Self { source, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, copied: 0, done: Vec::new() }
    }

    pub fn documents(mut self, text: &str) -> Result<Vec<Node>, Error> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let reason = format!("not valid YAML: {}", error.info());
                Error::Yaml { at: self.span(error.marker()).into(), reason }
            })?;
            let span = self.span(&span.start);
            match event {
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(_) => self.anchors.clear(),
                Event::Alias(id) => self.alias(id, span)?,
                Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span)?,
                Event::SequenceStart(anchor, tag) => {
                    self.open(Value::List(Vec::new()), anchor, tag.as_deref(), span)?
                }
                Event::MappingStart(anchor, tag) => self.open(Value::Map(Map::new()), anchor, tag.as_deref(), span)?,
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
            }
        }
        Ok(self.done)
    }

    fn span(&self, marker: &saphyr_parser::Marker) -> Span {
        Span { source: self.source, line: marker.line() as u32, column: marker.col() as u32 + 1 }
    }

    fn error(at: Span, reason: impl Into<String>) -> Error {
        Error::Yaml { at: at.into(), reason: reason.into() }
    }

    fn slot(&self) -> Slot {
        match self.stack.last() {
            Some(Frame { node: Node { value: Value::Map(_), .. }, key: None, merge_key: None, .. }) => Slot::Key,
            _ => Slot::Value,
        }
    }

    /// `at top level` or `in services.web`, the words of errors about keys.
    fn place(&self) -> String {
        let path: Vec<&str> =
            self.stack.iter().filter_map(|frame| frame.key.as_ref().map(|(key, _)| key.as_str())).collect();
        if path.is_empty() { "at top level".into() } else { format!("in {}", path.join(".")) }
    }

    fn count(&mut self, at: Span) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > NODE_BUDGET {
            return Err(Self::error(at, format!("the file has more than {NODE_BUDGET} nodes")));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Error> {
        self.count(span)?;
        let plain = style == ScalarStyle::Plain;
        if matches!(self.slot(), Slot::Key) {
            if plain && tag.is_none() && text == "<<" {
                return self.merge_key(span);
            }
            let string = !plain || tag.is_some() || matches!(scalar::resolve(text), Value::String(_));
            if !string {
                let (at, key) = (span.into(), if text.is_empty() { "null".into() } else { text.to_owned() });
                return Err(Error::NonStringKey { at, place: self.place(), key });
            }
            if anchor > 0 {
                self.anchors.insert(anchor, (Node::string(text, span), 1, 1));
            }
            return self.key(text.to_owned(), span);
        }
        let value = match tag {
            None if plain => scalar::resolve(text),
            Some(tag) if tag.is_yaml_core_schema() => scalar::tagged(&tag.suffix, text)
                .ok_or_else(|| Self::error(span, format!("cannot read {text:?} as !!{}", tag.suffix)))?,
            Some(tag) if directive(tag) == Some(Directive::Reset) => Value::Null,
            _ => Value::String(text.to_owned()),
        };
        if let Value::Float(number) = value
            && !number.is_finite()
        {
            return Err(Self::error(span, format!("{text} has no meaning in a Compose file; quote it if it is text")));
        }
        let mut node = Node::new(value, span);
        node.directive = tag.and_then(directive);
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), 1, 1));
        }
        self.place_value(node)
    }

    fn merge_key(&mut self, span: Span) -> Result<(), Error> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        if let Some(first) = frame.merged_at.replace(span.line) {
            return Err(Error::DuplicateKey { at: span.into(), key: "<<".into(), first });
        }
        frame.merge_key = Some(span);
        Ok(())
    }

    fn key(&mut self, key: String, span: Span) -> Result<(), Error> {
        let Some(frame) = self.stack.last_mut() else { return Ok(()) };
        if let Some(earlier) = frame.node.get(&key) {
            return Err(Error::DuplicateKey { at: span.into(), first: earlier.key.line, key });
        }
        frame.key = Some((key, span));
        Ok(())
    }

    fn open(&mut self, value: Value, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Error> {
        self.count(span)?;
        if matches!(self.slot(), Slot::Key) {
            let key = if matches!(value, Value::Map(_)) { "a mapping" } else { "a list" };
            return Err(Error::NonStringKey { at: span.into(), place: self.place(), key: key.into() });
        }
        if self.stack.len() >= DEPTH_LIMIT {
            return Err(Self::error(span, format!("nested deeper than {DEPTH_LIMIT} levels")));
        }
        let mut node = Node::new(value, span);
        node.directive = tag.and_then(directive);
        self.stack.push(Frame { node, anchor, key: None, merges: Vec::new(), merge_key: None, merged_at: None });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(mut frame) = self.stack.pop() else { return Ok(()) };
        if let Value::Map(map) = &mut frame.node.value {
            for merged in frame.merges {
                expand_merge(map, merged)?;
            }
        }
        if frame.anchor > 0 {
            let (size, depth) = (frame.node.size(), frame.node.depth());
            self.anchors.insert(frame.anchor, (frame.node.clone(), size, depth));
        }
        self.place_value(frame.node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Error> {
        if self.stack.iter().any(|frame| frame.anchor == id) {
            return Err(Self::error(span, "cycle detected: an alias stands inside the node it refers to"));
        }
        let Some((target, size, depth)) = self.anchors.get(&id) else {
            return Err(Self::error(span, "unknown alias"));
        };
        if self.stack.len() + depth > DEPTH_LIMIT {
            return Err(Self::error(span, format!("aliases nest deeper than {DEPTH_LIMIT} levels")));
        }
        self.copied += size;
        let total = self.nodes + self.copied;
        if self.copied > NODE_BUDGET || (total > 1_000 && self.copied * 100 > total * 99) {
            return Err(Self::error(span, "document contains excessive aliasing"));
        }
        if matches!(self.slot(), Slot::Key) {
            let Some(key) = target.as_str().map(str::to_owned) else {
                return Err(Error::NonStringKey { at: span.into(), place: self.place(), key: target.kind().into() });
            };
            return self.key(key, span);
        }
        let target = target.clone();
        self.place_value(target)
    }

    fn place_value(&mut self, mut node: Node) -> Result<(), Error> {
        let depth = self.stack.len();
        let Some(frame) = self.stack.last_mut() else {
            self.done.push(node);
            return Ok(());
        };
        match &mut frame.node.value {
            Value::List(items) => items.push(node),
            Value::Map(map) => {
                if let Some(span) = frame.merge_key.take() {
                    node.key = span;
                    frame.merges.push(node);
                } else if let Some((key, span)) = frame.key.take() {
                    node.key = span;
                    map.insert(key, node);
                }
            }
            _ => return Err(Self::error(node.span, format!("unexpected value at depth {depth}"))),
        }
        Ok(())
    }
}

fn directive(tag: &Tag) -> Option<Directive> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") | ("", "!reset") => Some(Directive::Reset),
        ("!", "override") | ("", "!override") => Some(Directive::Override),
        _ => None,
    }
}

/// Adds what `<<` brings: local keys win wherever they stand, of several sources the earlier one wins.
fn expand_merge(map: &mut Map, merged: Node) -> Result<(), Error> {
    let sources = match merged.value {
        Value::Map(_) => vec![merged],
        Value::List(items) => items,
        _ => return Err(Composer::error(merged.span, "<< needs a mapping or a list of mappings")),
    };
    for source in sources {
        let span = source.span;
        let Value::Map(entries) = source.value else {
            return Err(Composer::error(span, "<< needs a mapping or a list of mappings"));
        };
        for (key, node) in entries {
            map.entry(key).or_insert(node);
        }
    }
    Ok(())
}
