//! What a stage has come to so far.

use image::Digest;
use image::build::KeyWriter;
use image::dockerfile::Scope;
use image::manifest::{History, ImageConfig, Platform};
use image::store::BuiltLayer;

/// PATH of an image that begins with nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage: its image so far, and its variables.
#[derive(Debug, Clone)]
pub struct State {
    /// The image's config.
    pub config: ImageConfig,
    /// Its layers, bottom first.
    pub layers: Vec<BuiltLayer>,
    /// What ARG has declared.
    pub scope: Scope,
    /// When its last layer was made, seconds since the epoch.
    pub created: i64,
    /// CMD was said in this stage.
    pub has_cmd: bool,
}

impl State {
    /// Of nothing.
    pub fn scratch(platform: &Platform, now: i64) -> State {
        let mut config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            ..ImageConfig::default()
        };
        config.config.env = vec![PATH.to_owned()];
        config.config.working_dir = "/".to_owned();
        State { config, layers: Vec::new(), scope: Scope::default(), created: now, has_cmd: false }
    }

    /// The chain id of its layers.
    pub fn chain(&self) -> Option<Digest> {
        let diff_ids: Vec<Digest> = self.layers.iter().map(|layer| layer.diff_id).collect();
        image::chain_ids(&diff_ids).pop()
    }

    /// A key that begins with what is below.
    pub fn key(&self, kind: &str) -> KeyWriter {
        let mut key = KeyWriter::new(kind);
        key.field(self.chain().map(|chain| chain.to_string()).unwrap_or_default());
        key
    }

    /// Adds what a step has made.
    pub fn push(&mut self, layer: Option<BuiltLayer>, created: i64, created_by: String) {
        let empty_layer = layer.is_none().then_some(true);
        self.layers.extend(layer);
        self.created = created;
        self.note(created_by, empty_layer);
    }

    /// Adds an instruction that makes no layer.
    pub fn note_empty(&mut self, created_by: String) {
        self.note(created_by, Some(true));
    }

    fn note(&mut self, created_by: String, empty_layer: Option<bool>) {
        let created = Some(image::format_utc(self.created, 0));
        self.config.history.push(History {
            created,
            created_by: Some(created_by),
            author: None,
            comment: None,
            empty_layer,
        });
    }
}
