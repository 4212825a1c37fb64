"""The commands that compare_checkouts runs, in order.

Names in braces are folders: {out} of the output; {old} with all outputs of OLD; {side} with those of the checkout that
runs the command; {inputs} of make_inputs; {data} of BCCD; {here} of this file.
"""

from typing import NamedTuple


class Step(NamedTuple):
    """Arguments of Python, with {names} of folders.

    Attributes:
      copy_of: step whose files of OLD are copied to the output folder first.
      status: the expected exit status.
      only_old: makes input for other steps, and is not compared.
    """

    command: str
    copy_of: str = ""
    status: int = 0
    only_old: bool = False


PREPARE = "-m beam_jobs prepare --output {out} --splits train=0.8,val=0.2"
SAMPLE = "--images {old}/sample/images/* --annotations {old}/sample"
DAMAGED = "--images {inputs}/damaged/images/* --annotations {inputs}/damaged/annotations/*.xml --output {out}"
POLICIES = (
    "--labels {old}/prepare-voc/labels.pbtxt --max_side=400 --grayscale --min_box=24x24 --split_group=deployment+day"
    " --without_annotation=negative"
)
NETWORK = "-m trainer --model_dir={out} --preset=tiny --pyramid_channels=32 --head_depth=1 --seed=0"
TRAIN = f"{NETWORK} --image_size=128 --steps_per_loop=1 --warmup_steps=2"
MODEL = f"{NETWORK} --image_size=192 --warmup_steps=10 --num_epochs=30 --dataset={{old}}/prepare-voc"
AUGMENTED = (
    "--vertical_flip --rot90 --photometric=0.5 --mosaic=0.5 --mosaic_close_epochs=1 --ema_decay=0.9"
    " --lr_schedule=step --box_loss=huber --freeze=stem --init_from={old}/train"
)
SCORE = "-m inference score --model {old}/model/export --output {out} --formats=" + (
    "csv,counts,parquet,coco,megadetector,cvat,voc,viame,report"
)
TRUTH = "--annotations {old}/sample/archive_truth/*.xml"
VALUES = "-P {here}/model_values.py"
STEPS = {
    "sample": Step("scripts/make_sample.py {out} --images=60 --archive_images=12"),
    "prepare-voc": Step(f"{PREPARE} {SAMPLE}/annotations/*.xml"),
    "prepare-cvat": Step(f"{PREPARE} {SAMPLE}/cvat/annotations.xml"),
    "prepare-coco": Step(
        f"{PREPARE} --images {{old}}/sample/images/* --annotations {{old}}/prepare-voc/val.json"
        " --without_annotation=negative"
    ),
    "prepare-export": Step(f"{PREPARE} --exports {{inputs}}/export.zip --verify=header"),
    "prepare-damaged": Step(f"-m beam_jobs prepare {DAMAGED} {POLICIES}"),
    "check-damaged": Step(f"-m beam_jobs check {DAMAGED}", status=1),
    "labels-damaged": Step(
        "-m beam_jobs labels --annotations {inputs}/damaged/annotations/*.xml --output {out}/labels.pbtxt", status=1
    ),
    "prepare-bccd": Step(f"{PREPARE} --images {{data}}/images/* --annotations {{data}}/annotations/*.xml"),
    "train": Step(
        f"{TRAIN} --mode=train_and_eval --dataset={{old}}/prepare-voc --num_epochs=2 --eval_every_epochs=1"
        " --export_formats=savedmodel,tflite"
    ),
    "train-values": Step(f"{VALUES} {{side}}/train {{old}}/prepare-voc/val-00000-of-00004.tfrecord {{out}}"),
    "train-augmented": Step(
        f"{TRAIN} --mode=train --dataset={{old}}/prepare-bccd --num_epochs=2 --train_batch_size=32 {AUGMENTED}"
    ),
    "train-augmented-values": Step(
        f"{VALUES} {{side}}/train-augmented {{old}}/prepare-bccd/val-00000-of-00004.tfrecord {{out}}"
    ),
    # Without weight decay: TensorFlow adds its gradients to the others in an order that varies between runs.
    "train-sgd": Step(
        f"{TRAIN} --mode=train --dataset={{old}}/prepare-voc --num_epochs=1 --optimizer=sgd --weight_decay=0"
        " --learning_rate=0.01 --head_norm=group --anchors=auto"
    ),
    "train-sgd-values": Step(f"{VALUES} {{side}}/train-sgd {{old}}/prepare-voc/val-00000-of-00004.tfrecord {{out}}"),
    # A model that finds something: few steps suffice to compare the training, but not for the rest.
    "model": Step(f"{MODEL} --mode=train_and_eval", only_old=True),
    "eval": Step(f"{MODEL} --mode=eval", copy_of="model"),
    "score-folder": Step(f"{SCORE} --images {{data}}/images"),
    "score-zip": Step(f"{SCORE} --images {{old}}/sample/archive.zip"),
    "score-tiles": Step(
        f"{SCORE} --images {{inputs}}/damaged/images {{inputs}}/archive.tar.gz {{old}}/prepare-voc --tile=256"
        " --tile_merge=wbf --num_shards=2"
    ),
    "repeats": Step("-m inference repeats {out} --min_frames=3", copy_of="score-zip"),
    "convert": Step(
        "-m inference convert {out} --formats=csv,parquet,voc,report --below=archive.zip --min_score=0.1"
        " --without_repeats",
        copy_of="repeats",
    ),
    "evaluate": Step(f"-m inference evaluate {{out}} {TRUTH}", copy_of="score-zip"),
    "detect": Step("-m inference detect {inputs}/few/1.jpg {inputs}/few/2.jpg --model {old}/model/export --draw {out}"),
}
