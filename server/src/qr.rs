//! `GET /rooms/{room}/qr.svg`: the address of a room as a QR code, to be read by a phone.

use std::fmt::Write;

use app::page::room_path;
use axum::{
    extract::Path,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use common::{Refusal, RoomName};
use qrcodegen::{QrCode, QrCodeEcc};

use crate::{identity::own_origin, problem::Problem};

/// The white frame that a reader needs around it, in modules (ISO/IEC 18004, section 6.3.8).
const QUIET: i32 = 4;

/// Draws it: dark on white, whatever the page around it looks like.
pub(crate) async fn of_room(
    headers: HeaderMap,
    Path(room): Path<String>,
) -> Result<Response, Problem> {
    let room = RoomName::parse(&room)?;
    let address = format!("{}{}", own_origin(&headers), room_path(&room));
    let code = QrCode::encode_text(&address, QrCodeEcc::Medium);
    let code = code.map_err(|_| Refusal::field("room", "the address is too long for a QR code"))?;
    let svg = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "no-store")];
    Ok((svg, drawing(&code)).into_response())
}

fn drawing(code: &QrCode) -> String {
    let whole = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // To write into a text does not fail.
            let _ = write!(path, "M{},{}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {whole}" shape-rendering="crispEdges"><path fill="#fff" d="M0,0h{whole}v{whole}h-{whole}z"/><path d="{path}"/></svg>"##
    )
}
