//! Transposition.

/// Writes some columns of a matrix `x [rows][columns]` as rows of its transpose.
///
/// # Safety
/// `out` must have room for as many floats as `x`, and no other thread may touch the rows written.
pub(crate) unsafe fn transpose(x: &[f32], rows: usize, columns: usize, some: std::ops::Range<usize>, out: *mut f32) {
    const BLOCK: usize = 16;
    assert!(x.len() == rows * columns && some.end <= columns, "a matrix of {rows} x {columns}");
    for column in some.clone().step_by(BLOCK) {
        let columns_end = some.end.min(column + BLOCK);
        for row in (0..rows).step_by(BLOCK) {
            let rows_end = rows.min(row + BLOCK);
            for c in column..columns_end {
                for r in row..rows_end {
                    // SAFETY: both lie within the matrix, whose transpose has as many floats.
                    unsafe { *out.add(c * rows + r) = *x.get_unchecked(r * columns + c) };
                }
            }
        }
    }
}
