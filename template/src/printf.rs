//! `print printf println`.

use super::quote::{quote, quote_char};
use super::value::{Value, exponent, float};

/// Widest and most precise that a verb may be; Go has the same bound.
const WIDTH_MAX: usize = 1_000_000;

/// Go's `fmt.Sprint`: a blank between two operands of which neither is text.
pub fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let text = |arg: &Value| matches!(arg, Value::Text(_));
        if index > 0 && !text(arg) && !text(&args[index - 1]) {
            out.push(' ');
        }
        out.push_str(&plain(arg));
    }
    out
}

/// Go's `fmt.Sprintln`.
pub fn println(args: &[Value]) -> String {
    args.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n"
}

/// As an argument of Go's `fmt`, nothing is `<nil>`.
fn plain(value: &Value) -> String {
    if *value == Value::None { "<nil>".into() } else { value.print() }
}

/// What stands between `%` and its verb.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf`.
pub fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut args = args.iter();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars();
        let flags = match flags(&mut chars, &mut args) {
            Ok(flags) => flags,
            Err(bad) => {
                out.push_str(bad);
                Flags::default()
            }
        };
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&one(verb, value, flags)),
            },
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    let extra: Vec<String> = args.map(|arg| format!("{}={}", arg.type_name(), plain(arg))).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn flags<'a>(
    chars: &mut std::str::Chars<'_>,
    args: &mut impl Iterator<Item = &'a Value>,
) -> Result<Flags, &'static str> {
    let mut flags = Flags::default();
    loop {
        match chars.as_str().chars().next() {
            Some('-') => flags.minus = true,
            Some('+') => flags.plus = true,
            Some('#') => flags.sharp = true,
            Some(' ') => flags.space = true,
            Some('0') => flags.zero = true,
            _ => break,
        }
        chars.next();
    }
    flags.width = size(chars, args, "%!(BADWIDTH)")?;
    if chars.as_str().starts_with('.') {
        chars.next();
        flags.precision = Some(size(chars, args, "%!(BADPREC)")?.unwrap_or(0));
    }
    Ok(flags)
}

/// A number, or the next argument in place of `*`.
fn size<'a>(
    chars: &mut std::str::Chars<'_>,
    args: &mut impl Iterator<Item = &'a Value>,
    bad: &'static str,
) -> Result<Option<usize>, &'static str> {
    if chars.as_str().starts_with('*') {
        chars.next();
        return match args.next() {
            Some(Value::Integer(n)) => usize::try_from(*n).ok().filter(|n| *n <= WIDTH_MAX).map(Some).ok_or(bad),
            _ => Err(bad),
        };
    }
    let text = chars.as_str();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    *chars = text[digits..].chars();
    if digits == 0 {
        return Ok(None);
    }
    text[..digits].parse().ok().filter(|n| *n <= WIDTH_MAX).map(Some).ok_or(bad)
}

fn one(verb: char, value: &Value, flags: Flags) -> String {
    let bad = || match value {
        Value::None => format!("%!{verb}(<nil>)"),
        value => format!("%!{verb}({}={})", value.type_name(), plain(value)),
    };
    let text = match (verb, value) {
        ('T', value) => value.type_name().to_owned(),
        ('v', Value::Integer(n)) => integer(*n, 'd', flags),
        ('v', Value::Text(text)) if flags.sharp => quote(text),
        ('v', Value::Text(text)) => cut(text, flags),
        ('v', Value::Float(x)) if flags.precision.is_some() => real(*x, 'g', flags),
        ('v', value) => plain(value),
        ('t', Value::Bool(b)) => b.to_string(),
        ('d' | 'x' | 'X' | 'o' | 'O' | 'b', Value::Integer(n)) => integer(*n, verb, flags),
        ('c', Value::Integer(n)) => character(*n).to_string(),
        ('q', Value::Integer(n)) => quote_char(character(*n)),
        ('U', Value::Integer(n)) => format!("U+{n:04X}"),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(x)) => real(*x, verb, flags),
        ('s', Value::Text(text)) => cut(text, flags),
        ('q', Value::Text(text)) => quote(&cut(text, flags)),
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        (_, Value::List(items)) => {
            format!("[{}]", items.iter().map(|item| one(verb, item, flags)).collect::<Vec<_>>().join(" "))
        }
        (_, Value::Map(map)) => {
            let pair = |(key, item): (&String, &Value)| {
                format!("{}:{}", one(verb, &Value::Text(key.clone()), flags), one(verb, item, flags))
            };
            format!("map[{}]", map.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
        (_, Value::Struct(record)) => {
            let fields: Vec<String> = record.fields.iter().map(|(_, item)| one(verb, item, flags)).collect();
            format!("{{{}}}", fields.join(" "))
        }
        _ => bad(),
    };
    if verb != 'v' && matches!(value, Value::List(_) | Value::Map(_) | Value::Struct(_)) {
        return text;
    }
    let number = match value {
        // The precision of an integer says how many zeros it has.
        Value::Integer(_) => flags.precision.is_none() && !matches!(verb, 'c' | 'q' | 'U' | 'T'),
        Value::Float(_) => verb != 'T',
        _ => false,
    };
    pad(text, flags, number)
}

fn cut(text: &str, flags: Flags) -> String {
    flags.precision.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
}

fn character(n: i64) -> char {
    u32::try_from(n).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn integer(n: i64, verb: char, flags: Flags) -> String {
    let size = n.unsigned_abs();
    let (prefix, digits) = match verb {
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        'o' => ("0", format!("{size:o}")),
        'O' => ("0o", format!("{size:o}")),
        'b' => ("0b", format!("{size:b}")),
        _ => ("", size.to_string()),
    };
    let least = flags.precision.unwrap_or(0);
    let prefix = if flags.sharp || verb == 'O' { prefix } else { "" };
    format!("{}{prefix}{digits:0>least$}", sign(n < 0, flags))
}

fn sign(negative: bool, flags: Flags) -> &'static str {
    match negative {
        true => "-",
        false if flags.plus => "+",
        false if flags.space => " ",
        false => "",
    }
}

fn real(x: f64, verb: char, flags: Flags) -> String {
    if !x.is_finite() {
        return float(x);
    }
    let size = x.abs();
    let text = match verb {
        'e' | 'E' => exponent(&format!("{size:.*e}", flags.precision.unwrap_or(6))),
        'f' | 'F' => format!("{size:.*}", flags.precision.unwrap_or(6)),
        _ => general(size, flags.precision),
    };
    let text = if verb.is_ascii_uppercase() { text.to_uppercase() } else { text };
    format!("{}{text}", sign(x.is_sign_negative(), flags))
}

/// `%g`: the shorter of both forms, with so many significant digits.
fn general(size: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return float(size) };
    let digits = precision.max(1);
    let scientific = format!("{size:.*e}", digits - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if power < -4 || power >= most {
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", trim(mantissa)));
    }
    trim(&format!("{size:.*}", usize::try_from(most - 1 - power).unwrap_or(0)))
}

fn pad(text: String, flags: Flags, number: bool) -> String {
    let width = flags.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    if flags.minus {
        return text + &" ".repeat(missing);
    }
    if flags.zero && number {
        let signs = usize::from(text.starts_with(['-', '+', ' ']));
        return format!("{}{}{}", &text[..signs], "0".repeat(missing), &text[signs..]);
    }
    " ".repeat(missing) + &text
}
