// What is wrong with the page that a reader looks at: one line for each fault. Read by page_checks.rs.
//
// Colours: WCAG 2.2, 1.4.3 (text) and 1.4.11 (the edges of what is typed into). Width: 1.4.10. Names: 1.3.1, 4.1.2.
// Size of what is pressed: 2.5.8.
const faults = [];
const width = document.documentElement.clientWidth;
const name = element => {
  const words = (element.innerText || element.value || '').trim().replace(/\s+/g, ' ').slice(0, 40);
  const id = element.id ? '#' + element.id : '';
  const kind = element.className ? '.' + String(element.className).replace(/\s+/g, '.') : '';
  return `<${element.localName}${id}${kind}> "${words}"`;
};
const isShown = element => {
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  return box.width > 0 && box.height > 0 && box.right > 0 && style.visibility === 'visible';
};

// The page itself.
if (document.documentElement.scrollWidth > width) {
  faults.push(`the page scrolls sideways: ${document.documentElement.scrollWidth} of ${width}`);
}
if (!document.documentElement.lang) faults.push('the page names no language');
if (!document.title.trim()) faults.push('the page has no title');
const titles = [...document.querySelectorAll('h1')].filter(isShown).length;
if (titles !== 1) faults.push(`${titles} first headings`);
const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) faults.push(`two elements are #${id}`);

// What is cut off.
for (const element of document.body.querySelectorAll('*')) {
  if (!isShown(element)) continue;
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  if (box.right > width + 1) faults.push(`${name(element)} ends at ${Math.round(box.right)} of ${width}`);
  if (style.display === 'inline' || element.matches('input, select, option')) continue;
  const over = element.scrollWidth - element.clientWidth;
  if (over > 1) faults.push(`${name(element)} is ${over} px wider than its place`);
  if (style.overflowY !== 'visible' && element.scrollHeight - element.clientHeight > 1 && element !== document.body
      && !element.matches('textarea')) {
    faults.push(`${name(element)} is higher than its place`);
  }
}

// What has no name.
for (const element of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  const isLabelled = [...(element.labels || [])].some(label => label.innerText.trim());
  if (!isLabelled && !element.getAttribute('aria-label') && !element.getAttribute('aria-labelledby')) {
    faults.push(`${name(element)} ${element.name} has no label`);
  }
}
for (const element of document.querySelectorAll('a[href], button')) {
  if (!element.innerText.trim() && !element.getAttribute('aria-label') && isShown(element)) {
    faults.push(`${name(element)} has no words`);
  }
}
for (const element of document.querySelectorAll('img, svg:not([aria-hidden])')) {
  if (!element.hasAttribute('alt') && !element.getAttribute('aria-label') && element.getAttribute('role') !== 'img') {
    faults.push(`${name(element)} says nothing to who does not see it`);
  }
}
for (const element of document.querySelectorAll('table')) {
  if (![...element.querySelectorAll('thead th')].every(head => head.scope)) faults.push('a heading of a table without scope');
}

// What is too small to be pressed. Links in running text are as high as their line.
for (const element of document.querySelectorAll('button, select, input:not([type=hidden]), nav a')) {
  if (!isShown(element)) continue;
  const box = element.getBoundingClientRect();
  const size = Math.min(box.width, box.height);
  const label = element.labels && element.labels[0] && element.labels[0].getBoundingClientRect();
  if (size < 24 && !(label && label.height >= 24)) faults.push(`${name(element)} is ${Math.round(size)} px small`);
}

// Colours.
const parts = colour => {
  const numbers = (colour.match(/[\d.]+(?:e-?\d+)?/g) || []).map(Number);
  const scale = colour.startsWith('color(') ? 255 : 1;
  const [red, green, blue, alpha = 1] = numbers;
  return { rgb: [red * scale, green * scale, blue * scale], alpha };
};
const over = (above, below) => above.rgb.map((value, at) => value * above.alpha + below[at] * (1 - above.alpha));
const luminance = rgb => {
  const [red, green, blue] = rgb.map(value => value / 255)
    .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};
const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
const ground = element => {
  if (!element) return canvas;
  const colour = parts(getComputedStyle(element).backgroundColor);
  return colour.alpha === 1 ? colour.rgb : over(colour, ground(element.parentElement));
};
const faint = (element, colour, what, least) => {
  const below = ground(element);
  const ratio = contrast(over(parts(colour), below), below);
  if (ratio < least - 0.005) faults.push(`${name(element)}: ${what} ${ratio.toFixed(2)}, not ${least}`);
};
const leastOf = style => {
  const size = parseFloat(style.fontSize);
  return size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || seen.has(element) || !isShown(element)) continue;
  seen.add(element);
  if (element.closest('script, style, option, [disabled]')) continue;
  const style = getComputedStyle(element);
  faint(element, style.color, 'contrast', leastOf(style));
}
for (const element of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  if (!isShown(element) || element.disabled) continue;
  const style = getComputedStyle(element);
  faint(element, style.color, 'contrast of what is typed', leastOf(style));
  if (element.placeholder) faint(element, getComputedStyle(element, '::placeholder').color, 'contrast of its hint', 4.5);
  if (!element.matches('[type=checkbox], [type=radio]')) {
    const around = ground(element.parentElement);
    const edge = contrast(over(parts(style.borderTopColor), around), around);
    if (edge < 2.995) faults.push(`${name(element)} ${element.name}: contrast of its edge ${edge.toFixed(2)}, not 3`);
  }
}
for (const element of document.querySelectorAll('td')) {
  const before = getComputedStyle(element, '::before');
  if (before.content !== 'none' && isShown(element)) faint(element, before.color, 'contrast of its heading', 4.5);
}
return faults;
