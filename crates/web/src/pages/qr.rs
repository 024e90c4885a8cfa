//! QR codes as SVG.

use base64::Engine as _;
use qrcode::QrCode;
use qrcode::render::svg;

/// A code for a text, as SVG; `None` where the text is too long for one.
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::new(text.as_bytes()).ok()?;
    Some(
        code.render::<svg::Color<'_>>()
            .min_dimensions(224, 224)
            .quiet_zone(true)
            .dark_color(svg::Color("#000000"))
            .light_color(svg::Color("#ffffff"))
            .build(),
    )
}

/// The same as the address of a picture: a policy against inline styles holds for what is inside a page.
pub fn data(text: &str) -> Option<String> {
    let text = base64::engine::general_purpose::STANDARD.encode(svg(text)?);
    Some(format!("data:image/svg+xml;base64,{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_pictures_without_scripts() {
        let code = svg("xmpp:alice@example.org?roster;preauth=abc").unwrap();
        assert!(code.contains("<svg") && !code.contains("script"), "{code}");
        assert!(svg(&"x".repeat(4000)).is_none());
        assert!(data("x").unwrap().starts_with("data:image/svg+xml;base64,"));
    }
}
