// Classifies frames of a video or camera with the packages of `export-student --formats coreml`, unzipped and added to
// the app's target: Xcode compiles them to frames.mlmodelc and clip.mlmodelc.
import CoreML
import CoreVideo

final class Student {
    private let encoder: MLModel, head: MLModel, facts: [String: Any], preprocessing: [String: Any]
    private var rows: [(seconds: Double, features: MLMultiArray)] = []
    let classes: [String]

    init(frames: URL, clip: URL) throws {
        encoder = try MLModel(contentsOf: frames)
        head = try MLModel(contentsOf: clip)
        let created = encoder.modelDescription.metadata[.creatorDefinedKey] as? [String: String] ?? [:]
        let json = try JSONSerialization.jsonObject(with: Data((created["embedonce"] ?? "{}").utf8))
        facts = json as? [String: Any] ?? [:]
        preprocessing = facts["preprocessing"] as? [String: Any] ?? [:]
        classes = facts["classes"] as? [String] ?? []
    }

    /// Add the frame shown at this time, and classify the last `clip_seconds`: class to probability.
    /// frame: resolution by resolution pixels, 32BGRA, prepared as Frames.swift does it.
    func classify(_ frame: CVPixelBuffer, at seconds: Double) throws -> [String: Double] {
        let image = MLFeatureValue(pixelBuffer: frame)
        let encoded = try encoder.prediction(from: MLDictionaryFeatureProvider(dictionary: ["frames": image]))
        rows.append((seconds, encoded.featureValue(for: "features")!.multiArrayValue!))
        let span = preprocessing["clip_seconds"] as! Double
        while seconds - rows[0].seconds > span - 1e-6 { rows.removeFirst() }
        let count = min(facts["frames_per_clip"] as! Int, rows.count)
        let spread = (0..<count).map { rows[(2 * $0 + 1) * rows.count / (2 * count)] }
        let output = try head.prediction(from: clip(spread))
        return probabilities(output.featureValue(for: "logits")!.multiArrayValue!)
    }

    private func clip(_ spread: [(seconds: Double, features: MLMultiArray)]) throws -> MLDictionaryFeatureProvider {
        let count = spread.count as NSNumber, width = spread[0].features.count
        let features = try MLMultiArray(shape: [1, count, width as NSNumber], dataType: .float32)
        let times = try MLMultiArray(shape: [1, count], dataType: .float32)
        let mask = try MLMultiArray(shape: [1, count], dataType: .float32)
        for (k, row) in spread.enumerated() {
            for d in 0..<width { features[k * width + d] = row.features[d] }
            times[k] = (row.seconds - rows[0].seconds) as NSNumber
            mask[k] = 1
        }
        return try MLDictionaryFeatureProvider(dictionary: ["features": features, "t_rel_sec": times, "mask": mask])
    }

    private func probabilities(_ logits: MLMultiArray) -> [String: Double] {
        let values = (0..<logits.count).map { logits[$0].doubleValue }
        let exponentials = values.map { exp($0 - values.max()!) }
        let total = exponentials.reduce(0, +)
        return Dictionary(uniqueKeysWithValues: zip(classes, exponentials.map { $0 / total }))
    }
}
