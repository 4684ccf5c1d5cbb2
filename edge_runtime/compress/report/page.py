"""The report as one page of HTML: nothing is loaded from anywhere, nothing runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from edge_runtime.compress.lines import Line
from edge_runtime.compress.report.charts import curves_chart, damage_chart, map_chart, reliability_chart
from edge_runtime.compress.report.record import Flipped, Pair, Record, Value

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1080px;padding:24px;color:#1f2328;background:#fff}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:36px 0 8px;border-bottom:1px solid #d0d7de;padding-bottom:4px}
table{border-collapse:collapse;margin:8px 0}th,td{padding:4px 18px 4px 0;text-align:left;vertical-align:top}
th{font-weight:600;color:#57606a}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr+tr td{border-top:1px solid #eaeef2}.wide{overflow-x:auto}
.met{color:#1a7f37}.missed,.unproved{color:#cf222e;font-weight:600}.note{color:#57606a}
.badge{display:inline-block;padding:2px 12px;border-radius:12px;color:#fff;background:#1a7f37}
.badge.bad{background:#cf222e}
.key span{display:inline-block;width:12px;height:12px;margin:0 4px 0 12px;border-radius:2px}
.cards{display:flex;flex-wrap:wrap;gap:14px}.card{width:150px;font-size:13px;overflow-wrap:anywhere}
.card img,.card svg{image-rendering:pixelated;display:block;background:#f6f8fa;border-radius:4px;margin-bottom:4px}
.pair{display:flex;flex-wrap:wrap;gap:36px}code{font-size:13px;overflow-wrap:anywhere}
svg text{font:12px system-ui,sans-serif;fill:#57606a}svg .small{font-size:10px}
.frame{fill:#f6f8fa;stroke:#d0d7de}.guide{stroke:#8c959f;stroke-dasharray:4 4}.whisker{stroke:#1f2328}
.axis{stroke:#8c959f}.cell{stroke:#eaeef2}td.heat{text-align:right;padding:4px 10px}
"""
_KEY = (
    '<p class="key note"><span style="background:#8a94a6"></span>float<span style="background:#1f6feb"></span>int8</p>'
)


def draw_page(record: Record) -> str:
    """Draw a report.

    Parameters
    ----------
    record : Record
        What a build measured.

    Returns
    -------
    html : str
        One page, the same for the same record.
    """
    sections = (
        _head(record),
        _section("Budget", _lines((*record.lines, *record.timings.lines))),
        _section("Model", _facts(record)),
        _section("Before and after", _pairs(record.metrics) + _flip_test(record)),
        _section("Slices", _pairs(record.slices)),
        _section("Confusion", _confusions(record)),
        _section("Decisions", _pairs(record.verdicts) + _decision(record)),
        _section("Calibration of probabilities", _calibration(record)),
        _section("Damaged samples", _damage(record)),
        _section("Where the models look", _attribution(record)),
        _section("Samples on which the models differ", _differing(record)),
        _section("Not measured", "".join(f"<p>{escape(note)}</p>" for note in record.notes)),
        _section("How to get it again", _origin(record)),
    )
    title = escape(f"{record.name} {record.version}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    """Give a section, or nothing where there is nothing to say."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _head(record: Record) -> str:
    met = record.is_met
    word = "budget met" if met else "budget not met: no bundle was written"
    return (
        f"<h1>{escape(record.name)} {escape(record.version)} <small class='note'>release {record.release}</small></h1>"
        f'<p><span class="badge{"" if met else " bad"}">{word}</span> '
        f"{escape(record.task)}, float to int8, {record.model.integer_macs_pct:g} % of multiply-accumulates and "
        f"{record.model.integer_weight_bytes_pct:g} % of weight bytes are integer</p>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """Draw a table whose cells are HTML already; columns from ``numbers`` on are set right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        kind = ['class="n"' if numbers and index >= numbers else "" for index in range(len(row))]
        return "".join(f"<{tag} {each}>{cell}</{tag}>" for each, cell in zip(kind, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells("th", head)}</tr>{body}</table></div>'


def _lines(lines: Sequence[Line]) -> str:
    """Draw the budget."""
    rows = []
    for line in lines:
        interval = "" if line.low is None or line.high is None else f"{line.low:.4f} to {line.high:.4f}"
        sign = "\u2264" if line.at_most else "\u2265"
        words = escape(line.text)
        if line.status == "unproved":
            needed = "no number of samples can" if line.needed is None else f"about {line.needed} are needed"
            words += f'<br><span class="note">{line.n} samples cannot prove it; {needed}</span>'
        state = f'<span class="{line.status}">{line.status}</span>'
        rows.append((state, escape(line.key), words, f"{line.value:.4f}", interval, f"{sign} {line.goal:g}"))
    return _table(("", "line", "measured", "value", "95 % interval", "goal"), rows, numbers=3)


def _show(value: Value) -> str:
    interval = (
        ""
        if value.low is None or value.high is None
        else f" <span class='note'>{value.low:.4f} to {value.high:.4f}</span>"
    )
    return f"{value.value:.4f}{interval}"


def _pairs(pairs: Sequence[Pair]) -> str:
    """Draw figures before and after."""
    if not pairs:
        return ""
    rows = []
    for pair in pairs:
        change = _show(pair.drop) if pair.drop is not None else f"{pair.after.value - pair.before.value:+.4f}"
        rows.append(
            (escape(pair.name), escape(pair.slice), _show(pair.before), _show(pair.after), change, str(pair.after.n))
        )
    change = "lost (paired)" if pairs[0].drop is not None else "change"
    return _table(("figure", "of", "float", "int8", change, "n"), rows, numbers=2)


def _facts(record: Record) -> str:
    model, data, times = record.model, record.data, record.timings
    rows = [
        ("model file", f"{model.float_bytes / 1000:.1f} kB", f"{model.int8_bytes / 1000:.1f} kB"),
    ]
    slower = False
    if times.float32 is not None and times.int8 is not None:
        plain, small = times.float32, times.int8
        rows += [
            ("latency p50", f"{plain.p50_ms:g} ms", f"{small.p50_ms:g} ms"),
            ("latency p95", f"{plain.p95_ms:g} ms", f"{small.p95_ms:g} ms"),
            ("time to load", f"{plain.load_ms:g} ms", f"{small.load_ms:g} ms"),
            ("resident memory", f"{plain.peak_kib:g} KiB", f"{small.peak_kib:g} KiB"),
        ]
        slower = small.p50_ms > plain.p50_ms
    warning = (
        '<p class="missed">int8 is slower than float here; small and recurrent models often are.</p>' if slower else ""
    )
    engine = f" Times on one thread of this machine, {escape(times.engine)}." if times.engine else ""
    return (
        _table(("", "float", "int8"), rows, numbers=1)
        + warning
        + f'<p class="note">{model.macs} multiply-accumulates, {model.parameters} weights. Calibrated on '
        f"{data.calibration_n}, proved on {data.evaluation_n} samples.{engine}</p>"
    )


def _flip_test(record: Record) -> str:
    flips = record.flips
    if flips is None:
        return ""
    return (
        f"<p>Only float got {flips.lost} samples right, only int8 {flips.won}: McNemar's exact p = {flips.p:g}"
        f" {'(chance alone would rarely do that)' if flips.p < 0.05 else '(chance may well do that)'}.</p>"  # noqa: PLR2004 - the usual level
    )


def _confusions(record: Record) -> str:
    if not record.confusion_after:
        return ""
    both = (("float", record.confusion_before), ("int8", record.confusion_after))
    return f'<div class="pair">{"".join(_confusion(name, rows, record.labels) for name, rows in both)}</div>'


def _confusion(name: str, rows: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw one confusion matrix: rows are the truth."""
    body = []
    for label, row in zip(labels, rows, strict=False):
        total = max(1, sum(row))
        cells = "".join(
            f'<td class="heat" style="background:rgba(31,111,235,{0.75 * count / total:.2f})">{count}</td>'
            for count in row
        )
        body.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    head = "".join(f'<th class="n">{escape(label)}</th>' for label in labels)
    corner = f'<th class="note">{name}: truth in rows</th>'
    return f'<div class="wide"><table><tr>{corner}{head}</tr>{"".join(body)}</table></div>'


def _decision(record: Record) -> str:
    if not record.verdicts:
        return ""
    parts = [("of the int8 model", record.decision)]
    if record.decision_before is not None:
        parts.insert(0, ("of the recipe, before compression", record.decision_before))
    return "".join(
        f'<p class="note">Decision {name}: <code>{escape(json.dumps(value, sort_keys=True))}</code></p>'
        for name, value in parts
    )


def _calibration(record: Record) -> str:
    if not record.bins_after:
        return ""
    return _KEY + reliability_chart(record.bins_before, record.bins_after)


def _damage(record: Record) -> str:
    if not record.damage:
        return ""
    rows = [
        (
            "undamaged" if each.kind == "none" else f"{escape(each.kind)} {each.strength:g}",
            _show(each.before),
            _show(each.after),
            _show(each.drop),
            str(each.after.n),
        )
        for each in record.damage
    ]
    table = _table(("damage", "float", "int8", "int8 lost", "n"), rows, numbers=1)
    return f'{_KEY}<div class="wide">{damage_chart(record.damage)}</div>{table}'


def _attribution(record: Record) -> str:
    if not record.maps:
        return ""
    found = record.attribution
    words = (
        "The maps are flatter than the int8 output can show; they are not compared."
        if found is None
        else f"Mean rank correlation of both models' maps: {_show(found)} on {found.n} samples."
    )
    cards = "".join(
        f'<div class="card" style="width:auto">{map_chart(each)}sample {each.sample}: '
        f"{'not compared' if each.correlation is None else f'{each.correlation:.3f}'}</div>"
        for each in record.maps
    )
    key = '<span class="note">Float left, int8 right; blue speaks for the output.</span>'
    return f'<p>{words} {key}</p><div class="cards">{cards}</div>'


def _differing(record: Record) -> str:
    if not record.n_flipped:
        return "<p>None.</p>"
    cards = "".join(map(_card, record.flipped))
    words = "differ in their label" if record.labels else "lie furthest apart"
    return (
        f'<p>{record.n_flipped} samples {words}; {len(record.flipped)} are shown.</p><div class="cards">{cards}</div>'
    )


def _card(flipped: Flipped) -> str:
    picture = ""
    if flipped.picture:
        picture = f'<img alt="sample {flipped.sample}" src="data:image/png;base64,{escape(flipped.picture)}">'
    elif flipped.curves:
        picture = curves_chart(flipped.curves)
    return (
        f'<div class="card">{picture}<b>truth {escape(flipped.truth)}</b><br>float {escape(flipped.before)}<br>int8 '
        f'{escape(flipped.after)}<br><span class="note">{escape(flipped.name)}</span></div>'
    )


def _origin(record: Record) -> str:
    rows = [(escape(str(key)), f"<code>{escape(str(value))}</code>") for key, value in sorted(record.origin.items())]
    if record.bundle is not None:
        rows.append(
            ("bundle sha256", f"<code>{escape(record.bundle.sha256)}</code> ({record.bundle.size_bytes} bytes)")
        )
    return _table(("", ""), rows)
