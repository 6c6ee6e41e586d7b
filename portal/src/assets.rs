//! Style sheet, script and icon: embedded, named by their content, so that a browser may keep them for ever.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scim_engine::http::Response;
use sha2::{Digest, Sha256};

struct Asset {
    path: String,
    media_type: &'static str,
    content: &'static str,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| asset("css", "text/css", include_str!("../assets/app.css")));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| asset("js", "text/javascript", include_str!("../assets/app.js")));
static ICON: LazyLock<Asset> = LazyLock::new(|| asset("svg", "image/svg+xml", include_str!("../assets/icon.svg")));

fn asset(extension: &str, media_type: &'static str, content: &'static str) -> Asset {
    let digest: String = URL_SAFE_NO_PAD.encode(Sha256::digest(content)).chars().take(12).collect();
    Asset { path: format!("/assets/{digest}.{extension}"), media_type, content }
}

/// Path of the style sheet.
pub fn style() -> &'static str {
    &STYLE.path
}

/// Path of the script.
pub fn script() -> &'static str {
    &SCRIPT.path
}

/// Path of the icon.
pub fn icon() -> &'static str {
    &ICON.path
}

/// The asset at that path.
pub fn serve(path: &str) -> Response {
    match [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.path == path) {
        Some(asset) => Response { status: 200, body: asset.content.as_bytes().to_vec(), ..Response::default() }
            .with("content-type", asset.media_type)
            .with("cache-control", "public, max-age=31536000, immutable")
            .with("x-content-type-options", "nosniff"),
        None => Response::empty(404),
    }
}
