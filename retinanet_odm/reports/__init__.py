"""Reports: the self-contained HTML pages that a user looks at.

Begin with `dataset_page` and its template `templates/dataset.html.j2`: a page module computes tables and charts from
plain values, its template holds the words and the order of the sections. `charts` has the SVG charts, `rendering` what
can stand in a table and the Jinja2 environment (autoescape is on: every text is escaped). The markup of tables and
charts is in `templates/components.html.j2`, the one stylesheet in `templates/style.css`.

A page has no script and refers to no other file, but for the links of `run_page` to the other pages of a run.
"""

from retinanet_odm.reports.abundance_page import abundance_report
from retinanet_odm.reports.dataset_page import check_report, dataset_report
from retinanet_odm.reports.evaluation_page import evaluation_report
from retinanet_odm.reports.label_errors_page import label_errors_report
from retinanet_odm.reports.learning_curve_page import learning_curve_report
from retinanet_odm.reports.predictions_page import predictions_report
from retinanet_odm.reports.run_page import run_report

__all__ = [
    "abundance_report",
    "check_report",
    "dataset_report",
    "evaluation_report",
    "label_errors_report",
    "learning_curve_report",
    "predictions_report",
    "run_report",
]
