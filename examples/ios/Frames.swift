// Prepares frames for a student, as steps 2 and 4 of "Input of a deployed student" in docs/evaluation.md say.
import Foundation

/// The settings are those under `preprocessing` in the packages' metadata.
struct Frames {
    let shortSide: Int, side: Int, fraction: Double, isSquare: Bool, isCubic: Bool

    /// One channel of an upright frame, row by row, values 0 to 255 -> the same channel of the input, side by side.
    func input(_ pixels: [Double], width: Int, height: Int) -> [Double] {
        let shorter = min(width, height)
        let across = canonical(width, shorter), down = canonical(height, shorter)
        let square = min(across, down)
        let w = kept(isSquare ? square : across), h = kept(isSquare ? square : down)
        let left = (across - w) / 2, top = (down - h) / 2
        let rows = (0..<height).map { Array(pixels[$0 * width..<($0 + 1) * width]) }
        let frame = resized(rows, across, down, cubic: true)
        let region = frame[top..<top + h].map { Array($0[left..<left + w]) }
        return Array(resized(region, side, side, cubic: isCubic).joined())
    }

    private func canonical(_ length: Int, _ shorter: Int) -> Int {
        let wanted = Double(length * shortSide) / Double(shorter) - Double(shortSide)
        return shortSide + 2 * Int((wanted / 2).rounded(.toNearestOrEven))
    }

    private func kept(_ length: Int) -> Int {
        length - 2 * Int((Double(length) * (1 - fraction) / 2).rounded(.toNearestOrEven))
    }

    private func resized(_ rows: [[Double]], _ width: Int, _ height: Int, cubic: Bool) -> [[Double]] {
        transposed(alongRows(transposed(alongRows(rows, width, cubic)), height, cubic))
    }

    /// Each row resized with antialiasing, as Pillow does it, in whole levels.
    private func alongRows(_ rows: [[Double]], _ length: Int, _ cubic: Bool) -> [[Double]] {
        let scale = Double(rows[0].count) / Double(length), stretch = max(scale, 1), reach = stretch * (cubic ? 2 : 1)
        let taps = (0..<length).map { k -> (Int, [Double]) in
            let center = (Double(k) + 0.5) * scale
            let from = max(0, Int(center - reach + 0.5)), to = min(rows[0].count, Int(center + reach + 0.5))
            return (from, (from..<to).map { weight((Double($0) + 0.5 - center) / stretch, cubic) })
        }
        return rows.map { row in
            taps.map { from, weights in
                let sum = weights.indices.reduce(0) { $0 + weights[$1] * row[from + $1] }
                return max(0, min(255, (sum / weights.reduce(0, +)).rounded(.toNearestOrEven)))
            }
        }
    }

    private func weight(_ distance: Double, _ cubic: Bool) -> Double {
        let x = abs(distance)
        if !cubic { return max(0, 1 - x) }
        return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
    }

    private func transposed(_ rows: [[Double]]) -> [[Double]] { rows[0].indices.map { x in rows.map { $0[x] } } }
}
