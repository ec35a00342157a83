//! Products of floats of 32 bits: from files, rows and seeds, and by every plan.

use harness::{
    cluster::Cluster,
    job::Job,
    npy,
    reference::{Matrix, close, close_float},
};
use serde_json::json;
use std::{fs, path::Path};

/// Writes a matrix as floats, in C or in Fortran order.
fn put(cluster: &Cluster, name: &str, matrix: &Matrix, fortran: bool) {
    let Matrix { rows, columns, elements } = matrix;
    let at = |i: usize| if fortran { i % rows * columns + i / rows } else { i };
    let bytes = (0..elements.len()).map(|i| (elements[at(i)] as f32).to_le_bytes());
    let mut file = npy::encode("<f4", &[*rows, *columns], bytes);
    if fortran {
        let place = file.windows(6).position(|bytes| bytes == b"False,").unwrap();
        file[place..place + 6].copy_from_slice(b"True, ");
    }
    cluster.file(name, file);
}

/// Two factors of odd shapes in files, and their product.
fn factors(cluster: &Cluster) -> Matrix {
    let (a, b) = (Matrix::random_floats(301, 173, 1), Matrix::random_floats(173, 199, 2));
    put(cluster, "a.npy", &a, false);
    put(cluster, "b.npy", &b, true);
    a.times(&b)
}

fn assert_is_product(path: &Path, expected: &Matrix) {
    let (descr, shape, elements) = npy::decode::<4>(&fs::read(path).unwrap());
    assert_eq!((descr.as_str(), shape), ("<f4", vec![expected.rows, expected.columns]));
    assert_eq!(elements.len(), expected.elements.len());
    let mut pairs = elements.iter().map(|bytes| f32::from_le_bytes(*bytes)).zip(&expected.elements);
    assert!(pairs.all(|(left, right)| close_float(left, *right)));
}

#[test]
fn a_product_of_floats_is_the_same_however_it_is_computed() {
    let cluster = Cluster::start(2);
    let expected = factors(&cluster);
    for plan in ["one", "local", "split:2", "split:7", "auto"] {
        cluster.client(&["matmul", "a.npy", "b.npy", "-o", "c.npy", "--plan", plan, "--verify"]).expect(0);
        assert_is_product(&cluster.path("c.npy"), &expected);
        fs::remove_file(cluster.path("c.npy")).unwrap();
    }
    // Little memory only means more tiles.
    let args = ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--plan", "split:2", "--memory", "50KiB"];
    cluster.client(&args).expect(0);
    assert_is_product(&cluster.path("c.npy"), &expected);
}

#[test]
fn rows_and_seeds_are_floats_where_a_line_or_a_file_says_so() {
    let cluster = Cluster::start(1);
    let expected = factors(&cluster);
    let random = |rows, columns, seed| json!({"random": [rows, columns], "seed": seed});
    let row: Vec<f32> = vec![0.1; 301];
    let lines = [
        json!({"task": "matmul", "a": random(301, 173, 1), "b": random(173, 199, 2), "dtype": "f32", "return": "summary"}),
        json!({"task": "matmul", "a": random(301, 173, 1), "b": {"npy": "b.npy"}, "output": "c.npy"}),
        json!({"task": "matmul", "a": [row], "b": {"npy": "a.npy"}, "dtype": "f32"}),
        json!({"task": "matmul", "a": [[0.1]], "b": [[3]], "dtype": "f32"}),
        json!({"task": "matmul", "a": [[0.1]], "b": [[3]]}),
    ];
    let job = Job::of(lines.len(), |i| lines[i].clone());
    cluster.file("tasks.jsonl", job.lines());
    let results = cluster.client(&["run", "tasks.jsonl", "--verify"]).expect(0).results();
    results.assert_exactly_once(job.ids()).assert_all_ok();
    let output = |i: usize| results.get(job.ids()[i]).output.clone();

    let sum = output(0)["sum"].as_f64().unwrap();
    assert!((sum - expected.sum()).abs() < 1e-5 * sum && sum != expected.sum());
    assert_is_product(&cluster.path("c.npy"), &expected);
    let a = Matrix::random_floats(301, 173, 1);
    let tenths = Matrix { rows: 1, columns: 301, elements: vec![f64::from(0.1f32); 301] };
    let row: Vec<f64> = serde_json::from_value(output(2)["c"][0].clone()).unwrap();
    assert!(row.iter().zip(&tenths.times(&a).elements).all(|(c, exact)| close_float(*c as f32, *exact)));
    assert_eq!(output(3)["c"], json!([[0.3]]), "in its shortest text: {}", 0.1f32 * 3.0);
    let long: f64 = output(4)["c"][0][0].as_f64().unwrap();
    assert!(close(long, 0.3), "doubles unless it is said otherwise");
}

#[test]
fn factors_of_two_types_are_refused_by_every_plan_alike() {
    let cluster = Cluster::start(1);
    factors(&cluster);
    let long = Matrix::random(173, 199, 2);
    let elements = long.elements.iter().map(|x| x.to_le_bytes());
    cluster.file("long.npy", npy::encode("<f8", &[long.rows, long.columns], elements));
    let message =
        "a is of dtype f32 and b of f64: both factors must be of one; convert either, as with NumPy's astype";
    for plan in ["one", "split:3", "local"] {
        let run = cluster.client(&["matmul", "a.npy", "long.npy", "-o", "c.npy", "--plan", plan]).expect(2);
        assert_eq!(run.stderr, format!("client: {message}\n"), "{plan}");
        assert!(!cluster.path("c.npy").exists());
    }
    let file = |name: &str| json!({"npy": name});
    let lines =
        [("long.npy", None), ("long.npy", Some("f32")), ("b.npy", Some("f64")), ("b.npy", Some("f16"))];
    let job = Job::of(lines.len(), |i| {
        let (b, dtype) = lines[i];
        let output = format!("c{i}.npy");
        let mut line = json!({"task": "matmul", "a": file("a.npy"), "b": file(b), "output": output});
        if let Some(dtype) = dtype {
            line["dtype"] = json!(dtype);
        }
        line
    });
    cluster.file("tasks.jsonl", job.lines());
    let results = cluster.client(&["run", "tasks.jsonl"]).expect(1).results();
    let said = [message, message, "the file of a is of dtype f32", "\"dtype\" takes \"f64\" or \"f32\""];
    for (id, said) in job.ids().into_iter().zip(said) {
        let error = results.get(id).error.clone().unwrap();
        assert!(error.code == "invalid-input" && error.message.contains(said), "{}", error.message);
    }
}

#[test]
fn wrong_floats_are_caught_and_computed_elsewhere() {
    let mut cluster = Cluster::start(1);
    cluster.add_worker_with("liar", &["--wrong-answers", "1"]);
    cluster.wait_registered();
    let job = Job::of(30, |i| {
        let random = |rows: usize, columns: usize| json!({"random": [rows, columns], "seed": i});
        json!({"task": "matmul", "a": random(41, 300), "b": random(300, 23), "dtype": "f32"})
    });
    let run = cluster.run(&["--verify"], &job).expect(0);
    run.results().assert_exactly_once(job.ids()).assert_all_ok();
    assert_eq!(run.results().by_worker().into_keys().collect::<Vec<_>>(), ["w1"]);
    assert!(run.stderr.contains("a wrong answer worker=liar"), "{}", run.stderr);

    let expected = factors(&cluster);
    let args = ["matmul", "a.npy", "b.npy", "-o", "c.npy", "--verify", "--plan", "split:6"];
    cluster.client(&args).expect(0);
    assert_is_product(&cluster.path("c.npy"), &expected);
}
