"""llama.cpp over the same file: tokens a second read and written.

    THREADS=1 python3 llama.py FILE.gguf PROMPT WRITTEN

Needs: pip install llama-cpp-python (built without AMX where the processor lacks it)
"""

import ctypes
import os
import resource
import sys
import time

import llama_cpp as lib


def main(path, prompt, written):
    threads = int(os.environ.get("THREADS", "1"))
    silent = lib.llama_log_callback(lambda *_: None)
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    model_options = lib.llama_model_default_params()
    # The buffers of AMX have been seen to end the process; the others lose nothing by it.
    model_options.use_extra_bufts = os.environ.get("LLAMA_EXTRA_BUFFERS") == "1"
    model = lib.llama_model_load_from_file(path.encode(), model_options)
    options = lib.llama_context_default_params()
    options.n_ctx = prompt + written + 8
    options.n_batch = options.n_ubatch = max(prompt, 256)
    options.n_threads = options.n_threads_batch = threads
    context = lib.llama_init_from_model(model, options)
    memory = lib.llama_get_memory(context)

    def go(tokens):
        array = (lib.llama_token * len(tokens))(*tokens)
        if lib.llama_decode(context, lib.llama_batch_get_one(array, len(tokens))) != 0:
            raise SystemExit("llama.cpp failed")
        lib.llama_get_logits_ith(context, -1)

    tokens = [n * 7 % 500 + 3 for n in range(prompt)]
    go(tokens)
    go([1])
    lib.llama_memory_clear(memory, True)
    start = time.perf_counter()
    go(tokens)
    read = prompt / (time.perf_counter() - start)
    start = time.perf_counter()
    for n in range(written):
        go([n % 500 + 3])
    wrote = written / (time.perf_counter() - start)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"speed {read} {wrote} {most}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
