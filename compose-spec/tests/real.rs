//! Compose files as people write them: they load, their canonical form is kept beside them, and everything but `build` is carried out.
//! `ORCA_BLESS=1 cargo test -p compose-spec --test real` writes the canonical forms anew.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use compose_spec::{Error, FileError, Files, LoadOptions, Project, TranslateOptions, load, translate};

struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok(self.0.get(path).cloned())
    }
}

/// The text as the only Compose file of a directory that has what the files beside this test name.
fn directory(text: &str) -> Memory {
    let file = |name: &str, text: &str| (Path::new("/srv/app").join(name), text.as_bytes().to_vec());
    Memory(HashMap::from([
        file("compose.yaml", text),
        file("dkim.key", "key"),
        file("db.secret", "secret"),
        file("theme.css", "body {}"),
    ]))
}

fn loaded(name: &str, files: &Memory) -> Project {
    let variables = [("DB_PASSWORD", "pass"), ("GRAFANA_PASSWORD", "graf"), ("HOME", "/root")];
    let env = variables.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let options = LoadOptions {
        working_dir: "/srv/app".into(),
        env: BTreeMap::from(env),
        profiles: vec!["*".into()],
        ..LoadOptions::default()
    };
    load(&options, files).unwrap_or_else(|errors| panic!("{name}: {errors}")).project
}

#[test]
fn files_as_people_write_them() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real");
    let (mut seen, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&place).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let project = loaded(&name, &directory(&std::fs::read_to_string(&path).unwrap()));
        let canonical = project.config_yaml();
        assert_eq!(
            loaded(&name, &directory(&canonical)).config_yaml(),
            canonical,
            "{name}: its canonical form is another's"
        );
        let kept = path.with_extension("canonical");
        if std::env::var_os("ORCA_BLESS").is_some() {
            std::fs::write(&kept, &canonical).unwrap();
        } else if std::fs::read_to_string(&kept).unwrap_or_default() != canonical {
            wrong.push(name.clone());
        }
        let errors = translate(&project, &TranslateOptions::default(), &directory("")).err();
        for error in errors.into_iter().flat_map(|errors| errors.0) {
            let is_build = matches!(&error, Error::Unsupported { path, .. } if path.ends_with(".build"));
            assert!(is_build, "{name}: {error}");
        }
    }
    assert!(seen >= 15, "{seen} files");
    assert!(wrong.is_empty(), "the canonical forms of {wrong:?} have changed");
}
