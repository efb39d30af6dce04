//! QR codes (ISO/IEC 18004) as SVG pictures, by qrcodegen.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

use crate::base::fault::Fault;

/// The longest text that every code has room for, bytes: version 40, error correction M.
pub const TEXT_MAX: usize = 2_331;
/// Light modules around the code; scanners need them to find it (ISO/IEC 18004 §9.1).
const QUIET: i32 = 4;

/// A picture of `text`: black on a white ground of its own, so that it scans on a dark page too, and
/// without a size of its own, so that the page decides. A seventh of it may be damaged (level M) or
/// more, where the smallest code with room for the text has room for more.
///
/// # Errors
/// `qr_text_too_long` when the text has more than [`TEXT_MAX`] bytes.
pub fn svg(text: &str) -> Result<String, Fault> {
    let code = encode(text)?;
    let side = code.size() + 2 * QUIET;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" role=\"img\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path fill=\"#000\" d=\""
    );
    for (x, y, length) in runs(&code) {
        // Writing to a string does not fail.
        let _ = write!(svg, "M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET);
    }
    svg.push_str("\"/></svg>");
    Ok(svg)
}

fn encode(text: &str) -> Result<QrCode, Fault> {
    let too_long = || {
        Fault::too_large(
            "qr_text_too_long",
            format!("A QR code has room for {TEXT_MAX} bytes of text."),
        )
    };
    if text.len() > TEXT_MAX {
        return Err(too_long());
    }
    QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|_| too_long())
}

/// The dark modules, as runs from left to right: where each begins and how long it is. A picture of
/// runs is a third as long as one of modules, and has no seams within a row.
fn runs(code: &QrCode) -> impl Iterator<Item = (i32, i32, i32)> {
    (0..code.size()).flat_map(move |y| {
        let begins =
            (0..code.size()).filter(move |x| code.get_module(*x, y) && !code.get_module(*x - 1, y));
        begins.map(move |x| {
            let length = (x..code.size()).take_while(|x| code.get_module(*x, y)).count();
            (x, y, i32::try_from(length).unwrap_or(i32::MAX))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that an SVG paints black, read back from its path alone.
    fn painted(svg: &str) -> (usize, Vec<Vec<bool>>) {
        let side = svg.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap();
        let side: usize = side.parse().unwrap();
        let mut grid = vec![vec![false; side]; side];
        let path = svg.split("fill=\"#000\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        for run in path.split('M').skip(1) {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let (length, rest) = rest.split_once('v').unwrap();
            assert_eq!(rest, format!("1h-{length}z"));
            let (x, y, length): (usize, usize, usize) =
                (x.parse().unwrap(), y.parse().unwrap(), length.parse().unwrap());
            for cell in &mut grid[y][x..x + length] {
                assert!(!*cell, "painted twice");
                *cell = true;
            }
        }
        (side, grid)
    }

    #[test]
    fn the_picture_is_the_code_with_its_quiet_zone() {
        let text = "otpauth://totp/ilot:anna?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=ilot\
                    &algorithm=SHA256&digits=6&period=30";
        let (code, svg) = (encode(text).unwrap(), svg(text).unwrap());
        let (side, grid) = painted(&svg);
        assert_eq!(side, usize::try_from(code.size() + 8).unwrap());
        for (y, row) in (-QUIET..).zip(&grid) {
            for (x, dark) in (-QUIET..).zip(row) {
                // Outside the code the library answers light.
                assert_eq!(*dark, code.get_module(x, y), "{x} {y}");
            }
        }
        // A finder pattern: a ring of seven around a light ring around nine dark modules.
        let row = |y: usize| -> String {
            grid[y][..12].iter().map(|dark| if *dark { '#' } else { '.' }).collect()
        };
        let finder: Vec<String> = (4..11).map(row).collect();
        assert!(finder[0].starts_with("....#######."), "{finder:?}");
        assert!(finder[1].starts_with("....#.....#."), "{finder:?}");
        assert!(finder[3].starts_with("....#.###.#."), "{finder:?}");
        assert!(code.error_correction_level() >= QrCodeEcc::Medium);
        assert!(!svg.contains("currentColor") && svg.contains("fill=\"#fff\""));
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_by_name() {
        assert!(svg(&"é".repeat(TEXT_MAX / 2)).is_ok());
        assert!(svg("").is_ok());
        let code = |text: &str| svg(text).map_err(|f| f.code);
        assert_eq!(code(&"x".repeat(TEXT_MAX + 1)), Err("qr_text_too_long"));
        assert!(code(&"x".repeat(TEXT_MAX)).is_ok());
    }
}
