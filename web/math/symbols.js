// TeX's names -> characters, by what they are: letters, operators (relations and arrows among them), big operators
// that carry limits, delimiters, functions, accents, spaces, alphabets.

const pairs = text => new Map(text.trim().split(/\s+/).map((word, i, all) => [word, all[i + 1]]).filter((_, i) => i % 2 === 0));

export const letters = pairs(`
  alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ nu ν
  xi ξ omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω
  Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
  infty ∞ partial ∂ nabla ∇ hbar ℏ ell ℓ Re ℜ Im ℑ aleph ℵ beth ℶ emptyset ∅ varnothing ∅ wp ℘ imath ı jmath ȷ
  forall ∀ exists ∃ nexists ∄ top ⊤ bot ⊥ angle ∠ triangle △ square □ Box □ blacksquare ■ qed ∎ prime ′ degree °
  clubsuit ♣ diamondsuit ♢ heartsuit ♡ spadesuit ♠ ldots … dots … cdots ⋯ vdots ⋮ ddots ⋱ dotsc … dotsb ⋯
  % % # # $ $ & & _ _ checkmark ✓ dagger † ddagger ‡ S § P ¶ copyright © pounds £ euro €`);

export const operators = pairs(`
  pm ± mp ∓ times × div ÷ cdot ⋅ ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ wedge ∧ land ∧
  vee ∨ lor ∨ cap ∩ cup ∪ setminus ∖ smallsetminus ∖ sqcap ⊓ sqcup ⊔ uplus ⊎ amalg ⨿ neg ¬ lnot ¬ diamond ⋄
  le ≤ leq ≤ leqslant ⩽ ge ≥ geq ≥ geqslant ⩾ ne ≠ neq ≠ ll ≪ gg ≫ equiv ≡ sim ∼ simeq ≃ approx ≈ cong ≅ propto ∝
  doteq ≐ triangleq ≜ coloneqq ≔ asymp ≍ prec ≺ succ ≻ preceq ⪯ succeq ⪰ lesssim ≲ gtrsim ≳ perp ⊥ parallel ∥ mid ∣ nmid ∤
  in ∈ notin ∉ ni ∋ subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ nsubseteq ⊈ subsetneq ⊊ supsetneq ⊋ sqsubseteq ⊑ sqsupseteq ⊒
  vdash ⊢ dashv ⊣ models ⊨ vDash ⊨ to → rightarrow → leftarrow ← gets ← uparrow ↑ downarrow ↓ leftrightarrow ↔ updownarrow ↕
  Rightarrow ⇒ implies ⟹ Leftarrow ⇐ impliedby ⟸ Leftrightarrow ⇔ iff ⟺ Uparrow ⇑ Downarrow ⇓ longrightarrow ⟶
  longleftarrow ⟵ Longrightarrow ⟹ Longleftrightarrow ⟺ mapsto ↦ longmapsto ⟼ hookrightarrow ↪ hookleftarrow ↩
  nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ rightharpoonup ⇀ leftharpoonup ↼ rightleftharpoons ⇌ leadsto ⇝ therefore ∴
  because ∵ colon : surd √ vert | lvert | rvert | Vert ‖ lVert ‖ rVert ‖ | ‖ lbrace { rbrace } { { } } lbrack [ rbrack ]
  langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ backslash \\ bowtie ⋈ ltimes ⋉ rtimes ⋊ slash / nleq ≰ ngeq ≱`);

// true: limits stand above and below.
export const bigOperators = new Map([
  ...[...pairs(`sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ bigodot ⨀ bigvee ⋁ bigwedge ⋀ bigsqcup ⨆
    biguplus ⨄`)].map(([name, c]) => [name, [c, true]]),
  ...[...pairs('int ∫ iint ∬ iiint ∭ oint ∮ oiint ∯ smallint ∫')].map(([name, c]) => [name, [c, false]]),
]);

export const functions = new Set(`arccos arcsin arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln log sec sin sinh
  tan tanh Pr gcd sgn sign softmax tr rank`.split(/\s+/));
export const limitFunctions = new Map([...'lim max min sup inf det argmax argmin'.split(' ').map(name => [name, name]),
  ['limsup', 'lim sup'], ['liminf', 'lim inf'], ['Pr', 'Pr'], ['gcd', 'gcd']]);

// [character, whether it stretches over what is below]
export const accents = new Map(Object.entries({
  hat: ['^', false], widehat: ['^', true], tilde: ['~', false], widetilde: ['~', true], bar: ['¯', false],
  overline: ['¯', true], vec: ['→', false], overrightarrow: ['→', true], overleftarrow: ['←', true], dot: ['˙', false],
  ddot: ['¨', false], dddot: ['⃛', false], acute: ['´', false], grave: ['`', false], check: ['ˇ', false],
  breve: ['˘', false], mathring: ['˚', false], overbrace: ['⏞', true],
}));
export const underAccents = new Map(Object.entries({ underline: '_', underbrace: '⏟' }));

export const spaces = new Map(Object.entries({
  ',': 0.167, ':': 0.222, '>': 0.222, ';': 0.278, ' ': 0.333, '!': -0.167, quad: 1, qquad: 2, thinspace: 0.167,
  enspace: 0.5, '\n': 0.333, negthinspace: -0.167,
}));

// Where the alphabets of "Mathematical Alphanumeric Symbols" begin: capitals, small letters, digits; and the letters
// that Unicode had before.
const kAlphabets = {
  bb: [0x1d538, 0x1d552, 0x1d7d8, pairs('C ℂ H ℍ N ℕ P ℙ Q ℚ R ℝ Z ℤ')],
  cal: [0x1d49c, 0x1d4b6, 0, pairs('B ℬ E ℰ F ℱ H ℋ I ℐ L ℒ M ℳ R ℛ e ℯ g ℊ o ℴ')],
  frak: [0x1d504, 0x1d51e, 0, pairs('C ℭ H ℌ I ℑ R ℜ Z ℨ')],
  bold: [0x1d400, 0x1d41a, 0x1d7ce, new Map()],
  bolditalic: [0x1d468, 0x1d482, 0x1d7ce, new Map()],
  sans: [0x1d5a0, 0x1d5ba, 0x1d7e2, new Map()],
  mono: [0x1d670, 0x1d68a, 0x1d7f6, new Map()],
};

export const alphabets = new Map(Object.entries({
  mathbb: 'bb', mathcal: 'cal', mathscr: 'cal', mathfrak: 'frak', mathbf: 'bold', bold: 'bold', bf: 'bold',
  boldsymbol: 'bolditalic', bm: 'bolditalic', mathsf: 'sans', mathtt: 'mono', mathrm: 'roman', rm: 'roman', mathit: 'italic',
}));

export function inAlphabet(c, alphabet) {
  const table = kAlphabets[alphabet];
  if (!table) return c;
  const [capital, small, digit, older] = table;
  if (older.has(c)) return older.get(c);
  const code = c.codePointAt(0);
  if (c >= 'A' && c <= 'Z') return String.fromCodePoint(capital + code - 65);
  if (c >= 'a' && c <= 'z') return String.fromCodePoint(small + code - 97);
  if (digit && c >= '0' && c <= '9') return String.fromCodePoint(digit + code - 48);
  const isBold = alphabet === 'bold' || alphabet === 'bolditalic';
  if (isBold && code >= 0x3b1 && code <= 0x3c9) return String.fromCodePoint(0x1d6c2 + code - 0x3b1);
  if (isBold && code >= 0x391 && code <= 0x3a9) return String.fromCodePoint(0x1d6a8 + code - 0x391);
  return c;
}
