//! The top level, networks, volumes, secrets and configs.

use super::rule::*;
use super::service::SERVICE;

pub static ROOT: Rule = object(&[
    ("version", of(STR)),
    ("name", of(STR)),
    ("include", list(&INCLUDE)),
    ("services", Rule::Map { values: &SERVICE, names: Names::Resource }),
    ("models", Rule::Map { values: &MODEL, names: Names::ResourceOrAny }),
    ("networks", Rule::Map { values: &NETWORK, names: Names::ResourceOrAny }),
    ("volumes", Rule::Map { values: &VOLUME, names: Names::Resource }),
    ("secrets", Rule::Map { values: &SECRET, names: Names::Resource }),
    ("configs", Rule::Map { values: &CONFIG, names: Names::Resource }),
]);

static INCLUDE: Rule = Rule::OneOf(&[
    of(STR),
    Rule::Object(Object {
        fields: &[
            ("path", Rule::Same(&STRING_OR_LIST)),
            ("env_file", Rule::Same(&STRING_OR_LIST)),
            ("project_directory", of(STR)),
        ],
        required: &[],
        extensions: false,
    }),
]);

static MODEL: Rule = requiring(
    &["model"],
    &[("name", of(STR)), ("model", of(STR)), ("context_size", of(INT)), ("runtime_flags", Rule::Same(&STRINGS))],
);

static EXTERNAL: Rule = Rule::OneOf(&[of(BOOL.or(STR)), object(&[("name", of(STR))])]);

static STRING_MAP: Rule = Rule::Map { values: &STRING, names: Names::Any };

static POOL: Rule = object(&[
    ("subnet", of(STR)),
    ("ip_range", of(STR)),
    ("gateway", of(STR)),
    ("aux_addresses", Rule::Same(&STRING_MAP)),
]);

static NETWORK: Rule = Rule::OneOf(&[
    of(NULL),
    object(&[
        ("name", of(STR)),
        ("driver", of(STR)),
        ("driver_opts", Rule::Same(&OPTIONS)),
        ("ipam", object(&[("driver", of(STR)), ("config", list(&POOL)), ("options", Rule::Same(&STRING_MAP))])),
        ("external", Rule::Same(&EXTERNAL)),
        ("internal", of(BOOL.or(STR))),
        ("enable_ipv4", of(BOOL.or(STR))),
        ("enable_ipv6", of(BOOL.or(STR))),
        ("attachable", of(BOOL.or(STR))),
        ("labels", Rule::Same(&LIST_OR_DICT)),
    ]),
]);

static VOLUME: Rule = Rule::OneOf(&[
    of(NULL),
    object(&[
        ("name", of(STR)),
        ("driver", of(STR)),
        ("driver_opts", Rule::Same(&OPTIONS)),
        ("external", Rule::Same(&EXTERNAL)),
        ("labels", Rule::Same(&LIST_OR_DICT)),
    ]),
]);

static SECRET: Rule = object(&[
    ("name", of(STR)),
    ("environment", of(STR)),
    ("file", of(STR)),
    ("external", Rule::Same(&EXTERNAL)),
    ("labels", Rule::Same(&LIST_OR_DICT)),
    ("driver", of(STR)),
    ("driver_opts", Rule::Same(&OPTIONS)),
    ("template_driver", of(STR)),
]);

static CONFIG: Rule = object(&[
    ("name", of(STR)),
    ("content", of(STR)),
    ("environment", of(STR)),
    ("file", of(STR)),
    ("external", Rule::Same(&EXTERNAL)),
    ("labels", Rule::Same(&LIST_OR_DICT)),
    ("template_driver", of(STR)),
]);
