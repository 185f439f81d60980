// Formulas are drawn by MathJax, which lies beside this file and is loaded by pages that have any.
window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"]], displayMath: [["\\[", "\\]"]] },
  options: { ignoreHtmlClass: ".*", processHtmlClass: "arithmatex", enableMenu: false },
};
if (document.querySelector(".arithmatex")) {
  const script = document.createElement("script");
  script.src = document.currentScript.src.replace("mathematics.js", "tex-svg.js");
  document.head.append(script);
}
