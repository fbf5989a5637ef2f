"""The style sheet of the report: for desktop, phone, dark mode and print.

Colors are based on Okabe and Ito's palette; marks differ in shape, dash or hatch, too, not by color alone.
"""

LIGHT = """--ground:#fff;--raised:#f5f6f7;--ink:#1b1e22;--faint:#5a6169;--line:#d4d8dc;
--teacher:#0072b2;--student:#d98200;
--c0:#0072b2;--c1:#d98200;--c2:#00805d;--c3:#b3417f;--heat:#0072b2;--over:#fff;--warn:#fff3d6"""
DARK = """--ground:#14171a;--raised:#1f2428;--ink:#e8eaec;--faint:#a5adb5;--line:#3a4148;
--teacher:#56b4e9;--student:#e69f00;
--c0:#56b4e9;--c1:#e69f00;--c2:#2bc79b;--c3:#de8fbb;--heat:#0072b2;--over:#e8eaec;--warn:#3a3014"""

PAGE = """*{box-sizing:border-box}html{color-scheme:light dark}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;margin:0 auto;max-width:1160px;
padding:1.5rem 1.25rem 4rem;background:var(--ground);color:var(--ink);overflow-wrap:anywhere}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 .3rem}h2{font-size:1.2rem;margin:0 0 .6rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}p{margin:.4rem 0;max-width:75ch}.faint,figcaption,caption{color:var(--faint)}
section{margin-top:2.4rem;padding-top:1.4rem;border-top:1px solid var(--line)}
.headline{font-size:1.2rem;line-height:1.4;margin:1rem 0;padding:.8rem 1rem;background:var(--raised);
border-left:4px solid var(--student);max-width:none}
.note{background:var(--warn);padding:.5rem 1rem;border-left:4px solid var(--ink);max-width:none}
nav{margin:.8rem 0}nav a{margin-right:1rem;color:inherit;display:inline-block}a:focus,.wide:focus{outline:2px solid}"""

TABLES = """.wide{overflow-x:auto;max-width:100%;scrollbar-width:thin}table{border-collapse:collapse;font-size:.92rem;
font-variant-numeric:tabular-nums;overflow-wrap:normal}
caption{text-align:left;padding-bottom:.4rem;font-size:.85rem}
th,td{padding:.28rem .9rem .28rem 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
th[scope=row],th:first-child{text-align:left;font-weight:normal;min-width:8rem;max-width:24rem;overflow-wrap:break-word}
thead th,thead th:first-child{border-bottom:2px solid var(--faint);font-weight:600}
td small{display:block;white-space:nowrap;color:var(--faint)}
table.bars th:last-child,table.bars td:last-child,
table.words th:nth-child(2),table.words td:nth-child(2){text-align:left}
details{margin-top:.6rem}summary{cursor:pointer}"""

CHARTS = """.row{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}
.row>*{flex:1 1 310px;max-width:540px;min-width:0}figure{margin:0}figcaption{font-size:.85rem}
.key{display:inline-block;white-space:nowrap;margin-right:1rem}
svg{display:block;max-width:100%;height:auto;font:11px system-ui,"DejaVu Sans",sans-serif;fill:var(--ink)}
svg.bar{display:inline-block;vertical-align:middle;max-width:none}
svg.hidden{position:absolute;width:0;height:0}
.axis{stroke:var(--faint);stroke-width:1}.grid{stroke:var(--line);stroke-width:1}
.dim{fill:var(--faint)}.diagonal{stroke:var(--faint);stroke-dasharray:4 4}
.c0{--c:var(--c0)}.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.teacher{--c:var(--teacher)}
.student{--c:var(--student)}.curve{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}.mark{fill:var(--c)}
.c1 .curve{stroke-dasharray:7 3}.c2 .curve{stroke-dasharray:2 3}.c3 .curve{stroke-dasharray:9 3 2 3}
.block{fill:var(--c);fill-opacity:.3;stroke:var(--c);stroke-width:1}.hatch{stroke:var(--student);stroke-width:2}
.student .block{fill:url(#hatch);fill-opacity:1}
.cell{fill:var(--heat)}.own{fill:none;stroke:var(--line)}.count{text-anchor:middle;font-size:10px}
.count.over{fill:var(--over)}.wide>svg{max-width:none}.tick{stroke:var(--teacher);stroke-width:3}
.track{fill:var(--line);fill-opacity:.6}"""

EXAMPLES = """.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:1rem}
.card{border:1px solid var(--line);border-radius:6px;padding:.7rem;background:var(--raised);min-width:0}
.card h4{margin:0 0 .4rem;font-size:.9rem;font-weight:600}.frames{display:flex;gap:4px}
.frames figure{flex:1 1 0;min-width:0;max-width:150px}.frames img{width:100%;height:auto;display:block;
border-radius:3px}
.frames figcaption{font-size:.75rem}.guesses{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 1.2rem;
margin-top:.5rem;font-size:.85rem}.guesses ol{margin:0;padding:0;list-style:none}
.guesses li{display:flex;justify-content:space-between;gap:.5rem;font-variant-numeric:tabular-nums}
.guesses li.true{font-weight:700}.guesses b{font-weight:600}dl{display:grid;
grid-template-columns:fit-content(40%) minmax(0,1fr);
gap:.1rem 1rem;font-size:.9rem;margin:.4rem 0}dt{color:var(--faint)}dd{margin:0}"""

NARROW = """@media(max-width:520px){body{padding:1rem .8rem 3rem}th,td{padding-right:.5rem}
td small{white-space:normal}table{font-size:.84rem}
th[scope=row],th:first-child{min-width:5.8rem}
table svg.bar{width:60px}.headline{font-size:1.05rem}.guesses{gap:0 .8rem;font-size:.8rem}}"""
PAPER = f"""@media print{{:root{{{LIGHT}}}body{{max-width:none;padding:0;font-size:11px}}nav{{display:none}}
.wide{{overflow:visible}}.wide>svg{{max-width:100%}}section{{break-before:auto}}
h2,h3{{break-after:avoid}}.card,figure,tr{{break-inside:avoid}}
*{{-webkit-print-color-adjust:exact;print-color-adjust:exact}}}}"""

STYLE = "\n".join(
    (
        f":root{{{LIGHT}}}@media screen and (prefers-color-scheme:dark){{:root{{{DARK}}}}}",
        *(PAGE, TABLES, CHARTS, EXAMPLES, NARROW, PAPER),
    )
)
