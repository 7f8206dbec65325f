//! The largest piece of a mask without its holes: what `cv2.fillPoly` draws of the largest of the outer contours that `cv2.findContours` finds.

/// The eight places around one.
const AROUND: [(isize, isize); 8] = [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)];

/// The place next to `at`, if it lies within.
fn beside(at: usize, (dx, dy): (isize, isize), w: usize, h: usize) -> Option<usize> {
    let (x, y) = ((at % w) as isize + dx, (at / w) as isize + dy);
    (x >= 0 && y >= 0 && x < w as isize && y < h as isize).then(|| y as usize * w + x as usize)
}

/// All places that are connected with `start` by steps of `steps` over places where `open` holds.
fn flood(start: usize, w: usize, h: usize, steps: &[(isize, isize)], mut open: impl FnMut(usize) -> bool) -> Vec<usize> {
    let mut found = Vec::new();
    let mut waiting = vec![start];
    while let Some(at) = waiting.pop() {
        found.push(at);
        for step in steps {
            if let Some(next) = beside(at, *step, w, h)
                && open(next)
            {
                waiting.push(next);
            }
        }
    }
    found
}

/// The piece of `mask` (`w` places across, row by row) whose outline encloses most, its holes filled; nothing if the mask is empty. Pieces hold
/// together at corners; an outline runs through the middles of places.
pub fn largest_piece(mask: &[bool], w: usize, h: usize) -> Vec<bool> {
    let mut largest = vec![false; mask.len()];
    let mut most = -1.0;
    let mut done = vec![false; mask.len()];
    for start in 0..mask.len() {
        if !mask[start] || done[start] {
            continue;
        }
        done[start] = true;
        let piece = flood(start, w, h, &AROUND, |at| mask[at] && !std::mem::replace(&mut done[at], true));
        let filled = without_holes(&piece, w, h);
        let area = enclosed(&filled, w, h);
        if area > most {
            (most, largest) = (area, filled);
        }
    }
    largest
}

/// A piece with everything that it shuts off from the border.
fn without_holes(piece: &[usize], w: usize, h: usize) -> Vec<bool> {
    // One place more on each side, so that the outside is one.
    let (wide, tall) = (w + 2, h + 2);
    let mut shut = vec![false; wide * tall];
    for at in piece {
        shut[(at / w + 1) * wide + at % w + 1] = true;
    }
    let mut outside = vec![false; shut.len()];
    outside[0] = true;
    let steps = [(0, -1), (-1, 0), (1, 0), (0, 1)];
    flood(0, wide, tall, &steps, |at| !shut[at] && !std::mem::replace(&mut outside[at], true));
    (0..w * h).map(|at| !outside[(at / w + 1) * wide + at % w + 1]).collect()
}

/// The area within the outline: of each four places together, all when four are filled, half when three are.
fn enclosed(filled: &[bool], w: usize, h: usize) -> f64 {
    let mut halves = 0_usize;
    for y in 0..h.saturating_sub(1) {
        for x in 0..w.saturating_sub(1) {
            let at = y * w + x;
            let count = [at, at + 1, at + w, at + w + 1].into_iter().filter(|at| filled[*at]).count();
            halves += count.saturating_sub(2);
        }
    }
    halves as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &[&str]) -> Vec<bool> {
        rows.iter().flat_map(|row| row.bytes().map(|b| b == b'#')).collect()
    }

    #[test]
    fn the_largest_piece_without_its_holes() {
        let mask = read(&[
            "#####....#", //
            "#...#...#.", //
            "#.#.#..#..", //
            "#...#.....", //
            "#####..###", //
        ]);
        let expected = read(&[
            "#####.....", //
            "#####.....", //
            "#####.....", //
            "#####.....", //
            "#####.....", //
        ]);
        assert_eq!(largest_piece(&mask, 10, 5), expected);
        // A thin line encloses nothing, and is still the largest of its kind.
        assert_eq!(largest_piece(&read(&["#..", ".#.", "..."]), 3, 3), read(&["#..", ".#.", "..."]));
        assert_eq!(largest_piece(&[false; 6], 3, 2), [false; 6]);
        assert!(largest_piece(&[], 0, 0).is_empty());
    }
}
