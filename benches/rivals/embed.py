"""The same texts through onnxruntime, with the graph it runs fastest: fused attention, bias-GELU
and skip-layer-normalisation, weights read from the model's own safetensors file.

    python3 embed.py MODEL_FOLDER TEXTS.json

Needs: pip install numpy onnx onnxruntime tokenizers safetensors
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

BATCH = 32
MAX_TOKENS = 256


def graph(folder):
    """A BERT encoder in onnxruntime's own fused operators."""
    weights = load_file(f"{folder}/model.safetensors")
    config = json.load(open(f"{folder}/config.json"))
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind, inputs, output, domain="", **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    own = "com.microsoft"
    at = "embeddings."
    places = weights[at + "position_embeddings.weight"] + weights[at + "token_type_embeddings.weight"][0]
    x = node("Gather", [constant("words", weights[at + "word_embeddings.weight"]), "ids"], "word")
    y = node("Gather", [constant("places", places), "positions"], "place")
    x = node("Add", [x, y], "sum")
    x = node(
        "LayerNormalization",
        [x, constant("g", weights[at + "LayerNorm.weight"]), constant("b", weights[at + "LayerNorm.bias"])],
        "start",
        axis=-1,
        epsilon=epsilon,
    )
    for n in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{n}."
        part = [at + f"attention.self.{p}." for p in ("query", "key", "value")]
        looks = constant(f"w{n}", np.concatenate([weights[p + "weight"].T for p in part], axis=1))
        bias = constant(f"wb{n}", np.concatenate([weights[p + "bias"] for p in part]))
        a = node("Attention", [x, looks, bias, "lengths"], f"a{n}", own, num_heads=heads)

        def dense(name, inputs, key):
            return node("MatMul", [inputs, constant(name + "w", weights[at + key + ".weight"].T)], name)

        def skip(name, inputs, rest, key, dense_key):
            return node(
                "SkipLayerNormalization",
                [
                    inputs,
                    rest,
                    constant(name + "g", weights[at + key + ".weight"]),
                    constant(name + "b", weights[at + key + ".bias"]),
                    constant(name + "d", weights[at + dense_key + ".bias"]),
                ],
                name,
                own,
                epsilon=epsilon,
            )

        a = dense(f"o{n}", a, "attention.output.dense")
        x = skip(f"s{n}", a, x, "attention.output.LayerNorm", "attention.output.dense")
        w = dense(f"i{n}", x, "intermediate.dense")
        w = node("BiasGelu", [w, constant(f"ib{n}", weights[at + "intermediate.dense.bias"])], f"g{n}", own)
        w = dense(f"f{n}", w, "output.dense")
        x = skip(f"t{n}", w, x, "output.LayerNorm", "output.dense")
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])
    positions = helper.make_tensor_value_info("positions", TensorProto.INT64, ["tokens"])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"])
    out = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "tokens", config["hidden_size"]])
    made = helper.make_graph(nodes, "bert", [ids, positions, lengths], [out], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(own, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()


def main(folder, texts):
    texts = json.load(open(texts))
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    model = graph(folder)

    def embed(session, texts):
        ids = [e.ids for e in tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors = np.zeros((len(ids), 384), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            longest = max(len(ids[i]) for i in batch)
            block = np.zeros((len(batch), longest), np.int64)
            for row, i in enumerate(batch):
                block[row, : len(ids[i])] = ids[i]
            lengths = np.array([len(ids[i]) for i in batch], np.int32)
            (hidden,) = session.run(
                None, {"ids": block, "positions": np.arange(longest), "lengths": lengths}
            )
            for row, i in enumerate(batch):
                mean = hidden[row, : lengths[row]].mean(0)
                vectors[i] = mean / np.linalg.norm(mean)
        return vectors, sum(len(i) for i in ids)

    for threads in (1, 2):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        embed(session, texts[:8])
        start, spent = time.perf_counter(), time.process_time()
        _, tokens = embed(session, texts)
        took, spent = time.perf_counter() - start, time.process_time() - spent
        print(
            f"onnxruntime {ort.__version__}, {threads} thread(s): "
            f"{len(texts) / took:.1f} texts/s, {tokens / took:.0f} tokens/s, "
            f"{tokens / spent:.0f} tokens per CPU-second"
        )
        times = []
        for text in texts[:200]:
            short = text[:50]
            start = time.perf_counter()
            embed(session, [short])
            times.append(time.perf_counter() - start)
        times.sort()
        print(f"  50 characters alone: p50 {times[len(times) // 2] * 1000:.1f} ms, p99 {times[len(times) * 99 // 100] * 1000:.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
