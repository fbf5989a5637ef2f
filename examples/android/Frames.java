/**
 * Prepares frames for a student, as steps 2 and 4 of "Input of a deployed student" in docs/evaluation.md say. The
 * settings are those under `preprocessing` in config.json: canonical_short_side, resolution, crop_fraction, and so on.
 */
public record Frames(int shortSide, int side, double fraction, boolean isSquare, boolean isCubic) {
    /** Pixels of an upright frame, as Bitmap.getPixels gives them -> 3 * side * side bytes: red, green, blue. */
    public byte[] input(int[] argb, int width, int height) {
        int across = canonical(width, Math.min(width, height)), down = canonical(height, Math.min(width, height));
        int square = Math.min(across, down), w = kept(isSquare ? square : across), h = kept(isSquare ? square : down);
        int left = (across - w) / 2, top = (down - h) / 2;
        byte[] planes = new byte[3 * side * side];
        for (int channel = 0; channel < 3; channel++) {
            float[][] rows = new float[height][width];
            for (int i = 0; i < argb.length; i++) rows[i / width][i % width] = argb[i] >> 16 - 8 * channel & 255;
            float[][] frame = resized(rows, across, down, true), region = new float[h][];
            for (int y = 0; y < h; y++) region[y] = java.util.Arrays.copyOfRange(frame[top + y], left, left + w);
            float[][] crop = resized(region, side, side, isCubic);
            for (int i = 0; i < side * side; i++) planes[channel * side * side + i] = (byte) crop[i / side][i % side];
        }
        return planes;
    }

    private int canonical(int length, int shorter) {
        return shortSide + 2 * (int) Math.rint(((double) length * shortSide / shorter - shortSide) / 2);
    }

    private int kept(int length) {
        return length - 2 * (int) Math.rint(length * (1 - fraction) / 2);
    }

    private static float[][] resized(float[][] rows, int width, int height, boolean isCubic) {
        return transposed(alongRows(transposed(alongRows(rows, width, isCubic)), height, isCubic));
    }

    /** Each row resized with antialiasing, as Pillow does it, in whole levels. */
    private static float[][] alongRows(float[][] rows, int length, boolean isCubic) {
        double scale = (double) rows[0].length / length, stretch = Math.max(scale, 1);
        double reach = stretch * (isCubic ? 2 : 1);
        float[][] made = new float[rows.length][length];
        for (int k = 0; k < length; k++) {
            double center = (k + 0.5) * scale, total = 0;
            int from = Math.max(0, (int) (center - reach + 0.5));
            double[] weights = new double[Math.min(rows[0].length, (int) (center + reach + 0.5)) - from];
            for (int i = 0; i < weights.length; i++) {
                total += weights[i] = weight((from + i + 0.5 - center) / stretch, isCubic);
            }
            for (int y = 0; y < rows.length; y++) {
                double sum = 0;
                for (int i = 0; i < weights.length; i++) sum += weights[i] * rows[y][from + i];
                made[y][k] = (float) Math.max(0, Math.min(255, Math.rint(sum / total)));
            }
        }
        return made;
    }

    private static double weight(double x, boolean isCubic) {
        x = Math.abs(x);
        if (!isCubic) return Math.max(0, 1 - x);
        return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    }

    private static float[][] transposed(float[][] rows) {
        float[][] made = new float[rows[0].length][rows.length];
        for (int y = 0; y < rows.length; y++) for (int x = 0; x < rows[0].length; x++) made[x][y] = rows[y][x];
        return made;
    }
}
