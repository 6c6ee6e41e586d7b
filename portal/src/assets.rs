//! Style sheet, script and icon: embedded, named by their content, so that a browser may keep them for ever.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scim_engine::http::Response;
use sha2::{Digest, Sha256};

struct Asset {
    name: String,
    media_type: &'static str,
    content: &'static str,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| asset("css", "text/css", include_str!("../assets/app.css")));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| asset("js", "text/javascript", include_str!("../assets/app.js")));
static ICON: LazyLock<Asset> = LazyLock::new(|| asset("svg", "image/svg+xml", include_str!("../assets/icon.svg")));

fn asset(extension: &str, media_type: &'static str, content: &'static str) -> Asset {
    let digest: String = URL_SAFE_NO_PAD.encode(Sha256::digest(content)).chars().take(12).collect();
    Asset { name: format!("{digest}.{extension}"), media_type, content }
}

/// Path of the style sheet.
pub fn style() -> String {
    format!("/assets/{}", STYLE.name)
}

/// Path of the script.
pub fn script() -> String {
    format!("/assets/{}", SCRIPT.name)
}

/// Path of the icon.
pub fn icon() -> String {
    format!("/assets/{}", ICON.name)
}

/// The asset of that name.
pub fn serve(name: &str) -> Response {
    match [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) {
        Some(asset) => Response { status: 200, body: asset.content.as_bytes().to_vec(), ..Response::default() }
            .with("content-type", asset.media_type)
            .with("cache-control", "public, max-age=31536000, immutable")
            .with("x-content-type-options", "nosniff"),
        None => Response::empty(404),
    }
}
