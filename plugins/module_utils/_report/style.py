# Copyright: Pooled Postgres contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the page looks: light and dark, wide and narrow, on a screen and on paper."""

from __future__ import annotations

# The colours of lines start from those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with
# any kind of colour vision tell apart, darkened or lightened until each had 3:1 against the ground, and text
# 4.5:1. The fifth, seventh and eighth line are dashed, too.
STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fff; --raised: #f5f6f8; --ink: #16191d; --soft: #565d66; --rule: #d9dde2; --grid: #e6e9ed;
  --fine: #0a7a4b; --look: #9a5b00; --wrong: #c1121f; --link: #0b57d0; --mark: #0b57d01f;
  --c0: #0072b2; --c1: #d55e00; --c2: #00875f; --c3: #b5478b; --c4: #8a6d00; --c5: #2f8fc4;
  --c6: #7a4bb5; --c7: #5b6570;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --raised: #1d2125; --ink: #eceef0; --soft: #a6adb5; --rule: #363c43; --grid: #2a2f35;
    --fine: #4cc38a; --look: #f0b429; --wrong: #ff7a7a; --link: #8ab4f8; --mark: #8ab4f82b;
    --c0: #56b4e9; --c1: #ff8a3d; --c2: #2ec4a0; --c3: #e88fc0; --c4: #f0d04a; --c5: #9ad0f5;
    --c6: #b79cf0; --c7: #aab2bb;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3rem; }
body {
  margin: 0 auto; padding: 0 1rem 3rem; max-width: 84rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums;
}
a { color: var(--link); }
h1 { font-size: 1.5rem; margin: 1.25rem 0 0; }
h2 { font-size: 1.35rem; margin: 0; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; color: var(--soft); }
h4 { font-size: .95rem; margin: 0; }
p, ul { margin: .25rem 0; }
.when, .about, .empty, figcaption { color: var(--soft); font-size: .875rem; }
.summary { margin: 1rem 0; }
.summary ul { list-style: none; padding: 0; }
.summary li { padding: .2rem 0 .2rem 1.5rem; text-indent: -1.5rem; overflow-wrap: anywhere; }
.summary details { margin-top: .5rem; }
summary { cursor: pointer; }
.sign { display: inline-block; width: 1.25rem; text-indent: 0; }
.verdict {
  font-size: 1.3rem; font-weight: 650; padding: .6rem .8rem; border-radius: .5rem;
  background: var(--raised);
}
.answer {
  font-size: 1.2rem; line-height: 1.4; padding: .8rem 1rem; border-radius: .5rem;
  background: var(--raised);
}
.answer p { margin: 0 0 .4rem; } .answer p:last-child { margin: 0; }
.level0 .sign, .verdict.level0 { color: var(--fine); }
.level1 .sign, .verdict.level1 { color: var(--look); }
.level2 .sign, .verdict.level2 { color: var(--wrong); }
nav {
  position: sticky; top: 0; z-index: 2; display: flex; gap: 1.25rem; overflow-x: auto; padding: .6rem 0;
  background: var(--ground); border-bottom: 1px solid var(--rule);
}
nav a { white-space: nowrap; }
.board { padding-top: 1.5rem; }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1rem 0;
}
.tile {
  display: flex; flex-direction: column;
  padding: .7rem .8rem; background: var(--raised); border-radius: .5rem;
  border-left: .3rem solid var(--rule);
}
.tile h4 { flex: 1; font-weight: 500; color: var(--soft); font-size: .875rem; }
.tile .value { font-size: 1.6rem; font-weight: 650; line-height: 1.2; }
.tile .state { font-size: .875rem; }
.tile.level0 { border-color: var(--fine); }
.tile.level1 { border-color: var(--look); }
.tile.level2 { border-color: var(--wrong); }
.tile.level1 .value { color: var(--look); } .tile.level2 .value { color: var(--wrong); }
.charts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr));
  gap: 1.75rem 2rem;
}
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure.wide { grid-column: 1 / -1; }
.plot {
  display: grid; grid-template: 10rem 1.4rem / 4.2rem 1fr; margin: .6rem 0 .3rem; font-size: .75rem;
  color: var(--soft);
}
.heights, .moments { position: relative; }
.heights span { position: absolute; right: .5rem; transform: translateY(50%); white-space: nowrap; }
.moments { grid-column: 2; }
.moments span { position: absolute; top: .2rem; transform: translateX(-50%); white-space: nowrap; }
.moments .end { transform: translateX(-100%); }
.area-of-plot > svg { display: block; width: 100%; height: 100%; overflow: visible; }
svg * { vector-effect: non-scaling-stroke; fill: none; }
.grid { stroke: var(--grid); stroke-width: 1; }
.line { stroke: currentColor; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.mark { fill: var(--mark); }
.range { stroke: currentColor; stroke-width: 1.5; }
.spread { stroke: var(--ink); stroke-width: 1.25; }
line.reference { stroke: var(--soft); stroke-width: 1.25; stroke-dasharray: 2 4; }
span.reference {
  position: absolute; top: -.2rem; padding: 0 .3rem; white-space: nowrap; background: var(--ground);
}
.area-of-plot { position: relative; min-width: 0; }
.area-of-plot .marker {
  position: absolute; width: 14px; height: 14px; transform: translate(-50%, 50%);
}
.shape { fill: currentColor; stroke: var(--ground); stroke-width: 1; }
.cross { stroke: currentColor; stroke-width: 2.5; }
.below { display: flex; gap: 1.25rem; justify-content: space-between; align-items: baseline; }
.axis { font-size: .75rem; color: var(--soft); margin: 0; }
.key {
  list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .1rem 1.25rem; font-size: .8125rem;
}
.key .swatch { width: 30px; height: 14px; vertical-align: -2px; margin-right: .2rem; }
.bars { container-type: inline-size; margin: .4rem 0; font-size: .8125rem; }
.bars .case { margin: .7rem 0 .15rem; }
.bar {
  display: grid; grid-template-columns: 9rem minmax(3rem, 1fr) 12rem; gap: .6rem; align-items: center;
}
.bar .name { color: var(--soft); } .bar svg { width: 100%; height: 14px; display: block; }
.threshold { stroke-width: 1.25; stroke-dasharray: 2 4; }
.threshold.yellow { stroke: var(--look); } .threshold.red { stroke: var(--wrong); }
.limit { color: var(--wrong); stroke-dasharray: 8 5; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
.line.c4, .line.c6 { stroke-dasharray: 7 3; } .line.c7 { stroke-dasharray: 3 3; }
.line.d0 { stroke-dasharray: 7 4; } .line.d1 { stroke-dasharray: none; }
.line.d2 { stroke-dasharray: 2 4; } .line.d3 { stroke-dasharray: 10 3 2 3; }
.area, .strip { fill: currentColor; stroke: none; }
.area { fill-opacity: .22; }
table { border-collapse: collapse; width: 100%; font-size: .8125rem; }
th, td { padding: .15rem .5rem .15rem 0; text-align: left; font-weight: 400; vertical-align: baseline; }
thead th { color: var(--soft); }
.legend th:first-child { width: 100%; overflow-wrap: anywhere; padding-left: 1.9rem; text-indent: -1.9rem; }
.legend td, .legend thead th:not(:first-child), .figure { text-align: right; white-space: nowrap; }
.legend td.more { text-align: left; color: var(--soft); padding-left: 1.9rem; }
.swatch { width: 22px; height: 8px; margin-right: .5rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
.scroll table { min-width: 34rem; }
.scroll tr { border-bottom: 1px solid var(--rule); }
.scroll td, .scroll th { padding: .3rem 1rem .3rem 0; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
pre {
  white-space: pre-wrap; overflow-wrap: anywhere; padding: .7rem .8rem;
  background: var(--raised); border-radius: .5rem;
  font-size: .8125rem;
}
.dense table { font-size: .75rem; }
.dense td, .dense th { padding-right: .7rem; }
.dense > summary { margin-top: .5rem; color: var(--soft); font-size: .875rem; }
.pairs .scroll table { min-width: 0; }
.pairs td { overflow-wrap: break-word; }
.charts + .rows { margin-top: 1.25rem; }
.rows td { white-space: nowrap; }
.rows.told td:last-child, .pairs .rows td { white-space: normal; }
.rows thead th { white-space: normal; vertical-align: bottom; }
.rows.told td:last-child { min-width: 16rem; }
@container (max-width: 32rem) {
  .bar { grid-template-columns: 1fr auto; gap: 0 .6rem; margin-bottom: .25rem; }
  .bar svg { grid-row: 2; grid-column: 1 / -1; }
}
@media (max-width: 40rem) {
  .answer { font-size: 1.05rem; }
}
@media print {
  :root {
    --ground: #fff; --raised: #fff; --ink: #000; --soft: #444; --rule: #bbb; --grid: #ddd; --link: #000;
    --fine: #0a7a4b; --look: #9a5b00; --wrong: #c1121f; --mark: #0b57d01f;
    --c0: #0072b2; --c1: #d55e00; --c2: #00875f; --c3: #b5478b; --c4: #8a6d00; --c5: #2f8fc4;
    --c6: #7a4bb5; --c7: #5b6570;
  }
  @page { margin: 12mm; }
  html { font-size: 11px; }
  body { padding: 0 .75rem; max-width: none; }
  nav { display: none; }
  .charts { grid-template-columns: 1fr 1fr; }
  .board + .board { break-before: page; }
  .board.part { break-before: auto; }
  h2, h3, h4, summary { break-after: avoid; }
  tr, .tile, .answer { break-inside: avoid; }
  .answer { border: 1px solid var(--rule); }
  .scroll { overflow: visible; }
  .scroll table { min-width: 0; }
  .rows.told td:last-child { min-width: 11rem; }
  .dense table { font-size: .6rem; }
  .dense td, .dense th { padding: .1rem .4rem .1rem 0; }
  /* Paper can't open what is folded. */
  details::details-content { content-visibility: visible; block-size: auto; }
  * { print-color-adjust: exact; }
}
"""
