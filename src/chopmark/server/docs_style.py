"""How the reference of the API looks, beside what all pages share (`chopmark.reports.page`)."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
body{max-width:84rem}
a{color:var(--1);text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
:focus-visible{outline:2px solid var(--1);outline-offset:2px}
.api{display:grid;grid-template-columns:10.5rem minmax(0,1fr);gap:2.5rem;align-items:start}
main{min-width:0}
nav{position:sticky;top:1rem;max-height:calc(100vh - 2rem);overflow-y:auto;font-size:.9rem}
nav ul{list-style:none;margin:0;padding:0}nav a{display:block;padding:.18rem 0}
section{scroll-margin-top:1rem}
details{border:1px solid var(--line);border-radius:.4rem;margin:.45rem 0;background:var(--paper)}
details[open]{border-color:var(--muted)}
summary{display:grid;grid-template-columns:4.4rem minmax(0,22rem) minmax(0,1fr);gap:.2rem .9rem;align-items:baseline;
padding:.5rem .8rem;cursor:pointer;list-style:none}
summary::-webkit-details-marker{display:none}
summary:hover,details[open]>summary{background:var(--panel);border-radius:.35rem}
section#shapes summary{display:block}
.method{font:600 .78rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-align:center;border:1px solid currentColor;
border-radius:.25rem;padding:0 .3rem}
.get{color:var(--1)}.post{color:var(--good)}.put,.patch{color:var(--warn)}.delete{color:var(--bad)}
.path{font-size:.88rem}.what{color:var(--muted);font-size:.92rem}
.inside{padding:.2rem 1rem 1rem;border-top:1px solid var(--line);scroll-margin-top:4rem}
.needed{color:var(--warn);font-size:.82rem}
main td,main th{max-width:38rem}
.inside tbody th{min-width:0;white-space:nowrap;line-height:1.3}
.inside tbody th span span{font-size:.8rem}
.inside td{white-space:normal}
@media (max-width:56rem){.api{grid-template-columns:minmax(0,1fr);gap:.5rem}
nav{position:static;max-height:none;border-bottom:1px solid var(--line);padding-bottom:.6rem}
nav ul{display:flex;flex-wrap:wrap;gap:.1rem .9rem}
summary{grid-template-columns:4.4rem minmax(0,1fr)}.what{grid-column:1/-1}
.inside{padding:.2rem .7rem .8rem}}
@media print{nav{display:none}.api{display:block}details{break-inside:avoid}}
"""
