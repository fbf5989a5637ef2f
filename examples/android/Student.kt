// Classifies frames of a video or camera with the files of `export-student --formats executorch`.
import android.graphics.Bitmap
import java.io.File
import org.json.JSONObject
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

class Student(folder: File) {
    private val facts = JSONObject(File(folder, "config.json").readText()).getJSONObject("embedonce")
    private val preprocessing = facts.getJSONObject("preprocessing")
    private val side = preprocessing.getInt("resolution")
    private val frames = Frames(
        preprocessing.getInt("canonical_short_side"),
        side,
        preprocessing.getDouble("crop_fraction"),
        preprocessing.getString("crop") != "none",
        preprocessing.getString("interpolation") == "bicubic",
    )
    private val encoder = Module.load(File(folder, "frames.pte").path)
    private val head = Module.load(File(folder, "clip.pte").path)
    private val rows = ArrayDeque<Pair<Double, FloatArray>>()
    val classes = facts.getJSONArray("classes").let { names -> List(names.length()) { names.getString(it) } }

    /** Add the upright frame shown at this time, and classify the last `clip_seconds`: class -> probability. */
    fun classify(frame: Bitmap, seconds: Double): Map<String, Double> {
        rows.addLast(seconds to encode(frame))
        while (seconds - rows.first().first > preprocessing.getDouble("clip_seconds") - 1e-6) rows.removeFirst()
        val count = minOf(facts.getInt("frames_per_clip"), rows.size)
        val spread = List(count) { rows[((2 * it + 1) * rows.size / (2.0 * count)).toInt()] }
        val features = spread.flatMap { it.second.asIterable() }.toFloatArray()
        val times = FloatArray(count) { (spread[it].first - rows.first().first).toFloat() }
        val length = count.toLong()
        val outputs = head.forward(
            EValue.from(Tensor.fromBlob(features, longArrayOf(1, length, (features.size / count).toLong()))),
            EValue.from(Tensor.fromBlob(times, longArrayOf(1, length))),
            EValue.from(Tensor.fromBlob(FloatArray(count) { 1f }, longArrayOf(1, length))), // the mask
        )
        return probabilities(outputs[1].toTensor().dataAsFloatArray)
    }

    private fun encode(frame: Bitmap): FloatArray {
        val pixels = IntArray(frame.width * frame.height)
        frame.getPixels(pixels, 0, frame.width, 0, 0, frame.width, frame.height)
        val planes = frames.input(pixels, frame.width, frame.height)
        val image = Tensor.fromBlobUnsigned(planes, longArrayOf(1, 3, side.toLong(), side.toLong()))
        return encoder.forward(EValue.from(image))[0].toTensor().dataAsFloatArray
    }

    private fun probabilities(logits: FloatArray): Map<String, Double> {
        val exponentials = logits.map { Math.exp((it - logits.max()).toDouble()) }
        return classes.zip(exponentials.map { it / exponentials.sum() }).toMap()
    }
}
