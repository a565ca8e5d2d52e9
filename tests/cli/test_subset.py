"""The subset command: a file that training takes back."""

import json

import pytest

from ltzoo.cli.subset import main
from ltzoo.data.dataset import create_dataset


@pytest.mark.parametrize("rule", ["cao", "first"])
def test_the_file_names_the_images_that_create_dataset_takes(rule, tmp_path, capsys):
    file = tmp_path / "digits.json"
    assert main(["digitslt", "--rule", rule, "--output", str(file), "--data-dir", str(tmp_path)]) == 0
    subset = create_dataset("digitslt", tmp_path, subset=rule).subset
    assert json.loads(file.read_text()) == subset.to_dict()
    assert capsys.readouterr().out == f"438 images in the order 'scikit-learn', sha256 {subset.sha256}\n"
    assert create_dataset("digitslt", tmp_path, subset=file).subset.sha256 == subset.sha256


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["digits", "--output", "{}/x.json"], "no benchmark is called 'digits'"),
        (["cifar10lt", "--output", "{}/x.json", "--data-dir", "{}/none"], "does not exist"),
        (["digitslt", "--rule", "last", "--output", "{}/x.json"], "invalid choice: 'last'"),
        (["digitslt"], "required: --output"),
    ],
)
def test_bad_input_is_one_line(argv, found, tmp_path, capsys):
    try:
        code = main([word.format(tmp_path) for word in argv])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    error = capsys.readouterr().err
    assert found in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
