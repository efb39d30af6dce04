//! How fast a language model reads and writes: ilot's network, candle's own struct in a bare loop, and
//! llama.cpp, in turns, each in a process of its own.
//!
//! `inference FILE.gguf [PROMPT] [WRITTEN] [ROUNDS]`: tokens a second over a prompt of PROMPT (128) and
//! over WRITTEN (32) more, one by one, with one thread and with as many as there are cores, the median
//! of ROUNDS (3). `LLAMA_PYTHON` names a Python that has llama-cpp-python; without it that rival is
//! left out. The numbers in the file may be random: speed does not ask what they are.

use std::fs::File;
use std::process::Command;
use std::time::Instant;

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2, quantized_qwen3};
use ilot::engines::generation::header::Header;
use ilot::engines::generation::network::{LoadPlan, Network, Part};
use ilot_benches::whole::Outcome;

/// The words of the command line that make this program one of the contenders.
const CONTENDERS: [&str; 2] = ["ilot", "candle"];

/// What is measured.
#[derive(Clone, Copy)]
struct Task {
    prompt: usize,
    written: usize,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, unsaid: usize| arguments.get(at).map_or(Ok(unsaid), |n| n.parse());
    if let Some(name) = arguments.first().filter(|name| CONTENDERS.contains(&name.as_str())) {
        let path = arguments.get(1).ok_or("which file?")?;
        let task = Task { prompt: number(2, 128)?, written: number(3, 32)? };
        return contend(name, path, task);
    }
    let path = arguments.first().ok_or("inference FILE.gguf [PROMPT] [WRITTEN] [ROUNDS]")?;
    let task = Task { prompt: number(1, 128)?, written: number(2, 32)? };
    let cores = std::thread::available_parallelism()?.get();
    println!("{path}: a prompt of {}, {} written", task.prompt, task.written);
    for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
        compare(path, task, threads, number(3, 3)?)?;
    }
    Ok(())
}

/// Tokens a second, and bytes of memory.
#[derive(Clone, Copy)]
struct Speed {
    read: f64,
    wrote: f64,
    memory: f64,
}

fn compare(path: &str, task: Task, threads: usize, rounds: usize) -> Outcome<()> {
    let mut names = CONTENDERS.to_vec();
    if std::env::var_os("LLAMA_PYTHON").is_some() {
        names.push("llama.cpp");
    }
    let mut speeds: Vec<Vec<Speed>> = vec![Vec::new(); names.len()];
    for _ in 0..rounds {
        for (name, speeds) in names.iter().zip(&mut speeds) {
            speeds.push(turn(name, path, task, threads)?);
        }
    }
    println!("{threads} thread(s): tokens/s read, tokens/s written, memory");
    for (name, speeds) in names.iter().zip(&mut speeds) {
        let mut middle = |of: fn(&Speed) -> f64| {
            speeds.sort_by(|a, b| of(a).total_cmp(&of(b)));
            speeds.get(speeds.len() / 2).map_or(0.0, of)
        };
        let (read, wrote) = (middle(|s| s.read), middle(|s| s.wrote));
        let memory = middle(|s| s.memory) / f64::from(1 << 20);
        println!("  {name:10} {read:8.1} {wrote:8.1} {memory:8.0} MiB");
    }
    Ok(())
}

/// One contender's turn, in a process of its own.
fn turn(name: &str, path: &str, task: Task, threads: usize) -> Outcome<Speed> {
    let mut command = if name == "llama.cpp" {
        let python = std::env::var_os("LLAMA_PYTHON").ok_or("LLAMA_PYTHON is not set")?;
        let mut command = Command::new(python);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/llama.py");
        command.arg(std::env::var("LLAMA_SCRIPT").unwrap_or_else(|_| script.to_owned()));
        command
    } else {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(name);
        command
    };
    let threads = threads.to_string();
    command.arg(path).arg(task.prompt.to_string()).arg(task.written.to_string());
    command.env("CANDLE_NUM_THREADS", &threads).env("RAYON_NUM_THREADS", &threads);
    let output = command.env("THREADS", &threads).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().rev().find(|line| line.starts_with("speed ")).ok_or_else(|| {
        format!("{name} said nothing: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let numbers: Vec<f64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [read, wrote, memory] => Ok(Speed { read: *read, wrote: *wrote, memory: *memory }),
        _ => Err(format!("{name} said {line}").into()),
    }
}

/// Runs as one of the contenders and prints a line for [`turn`].
fn contend(name: &str, path: &str, task: Task) -> Outcome<()> {
    let mut model: Box<dyn Model> =
        if name == "ilot" { Box::new(Ours::open(path)?) } else { Box::new(Candles::open(path)?) };
    let tokens: Vec<u32> = (0..task.prompt).map(|n| (n * 7 % 500 + 3) as u32).collect();
    // The first time, candle lays its weights out anew.
    model.read(&tokens)?;
    model.write(1)?;
    let began = Instant::now();
    model.read(&tokens)?;
    let read = task.prompt as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for n in 0..task.written {
        model.write((n % 500 + 3) as u32)?;
    }
    let wrote = task.written as f64 / began.elapsed().as_secs_f64();
    println!("speed {read} {wrote} {}", memory()?);
    Ok(())
}

/// The most memory this process has had, in bytes.
fn memory() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

trait Model {
    /// Reads a text from its start.
    fn read(&mut self, tokens: &[u32]) -> Outcome<()>;
    /// Takes one token more, and finds the likelihoods of the next.
    fn write(&mut self, token: u32) -> Outcome<()>;
}

struct Ours {
    network: Network,
    cache: ilot::engines::generation::network::Cache,
}

impl Ours {
    fn open(path: &str) -> Outcome<Self> {
        let mut file = File::open(path)?;
        let header = Header::read(&mut file).map_err(|fault| fault.message)?;
        let network = Network::load(&mut file, &header, &LoadPlan::default())
            .map_err(|fault| fault.message)?;
        let cache = network.new_cache();
        Ok(Self { network, cache })
    }

    fn go(&mut self, tokens: &[u32]) -> Outcome<()> {
        let mut parts = [Part { tokens, cache: &mut self.cache, logits: true }];
        self.network.forward(&mut parts).map_err(|fault| fault.message)?;
        Ok(())
    }
}

impl Model for Ours {
    fn read(&mut self, tokens: &[u32]) -> Outcome<()> {
        self.cache.clear();
        self.go(tokens)
    }

    fn write(&mut self, token: u32) -> Outcome<()> {
        self.go(&[token])
    }
}

/// candle's struct of a family.
enum Candles {
    Llama(quantized_llama::ModelWeights, usize),
    Qwen2(quantized_qwen2::ModelWeights, usize),
    Qwen3(quantized_qwen3::ModelWeights, usize),
}

impl Candles {
    fn open(path: &str) -> Outcome<Self> {
        let mut file = File::open(path)?;
        let content = gguf_file::Content::read(&mut file)?;
        let family = content.metadata.get("general.architecture").ok_or("no family")?;
        let device = Device::Cpu;
        Ok(match family.to_string()?.as_str() {
            "llama" => Self::Llama(
                quantized_llama::ModelWeights::from_gguf(content, &mut file, &device)?,
                0,
            ),
            "qwen2" => Self::Qwen2(
                quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device)?,
                0,
            ),
            "qwen3" => Self::Qwen3(
                quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &device)?,
                0,
            ),
            other => return Err(format!("candle's loop has no {other}").into()),
        })
    }

    fn go(&mut self, tokens: &[u32]) -> Outcome<()> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let (logits, at) = match self {
            Self::Llama(model, at) => (model.forward(&input, *at)?, at),
            Self::Qwen2(model, at) => (model.forward(&input, *at)?, at),
            Self::Qwen3(model, at) => (model.forward(&input, *at)?, at),
        };
        *at += tokens.len();
        std::hint::black_box(logits.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }
}

impl Model for Candles {
    fn read(&mut self, tokens: &[u32]) -> Outcome<()> {
        match self {
            Self::Llama(_, at) => *at = 0,
            Self::Qwen2(model, at) => {
                model.clear_kv_cache();
                *at = 0;
            }
            Self::Qwen3(model, at) => {
                model.clear_kv_cache();
                *at = 0;
            }
        }
        self.go(tokens)
    }

    fn write(&mut self, token: u32) -> Outcome<()> {
        self.go(&[token])
    }
}
