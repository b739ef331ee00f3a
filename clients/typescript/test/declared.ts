// What src/types.ts declares, as the compiler sees it.
import assert from 'node:assert/strict';
import ts from 'typescript';

const TYPES = new URL('../src/types.ts', import.meta.url).pathname;
const { types, file } = (() => {
  const program = ts.createProgram([TYPES], { strict: true });
  return { types: program.getTypeChecker(), file: program.getSourceFile(TYPES)! };
})();

/** The interface or type of this name. */
export function declared(name: string): ts.Type {
  const found = file.statements.find((node) => (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) && node.name.text === name);
  assert.ok(found, `types.ts declares no ${name}`);
  return types.getTypeAtLocation(found);
}

export const members = (type: ts.Type) => types.getPropertiesOfType(type);
export const typeOf = (symbol: ts.Symbol) => types.getTypeOfSymbol(symbol);
export const namesOf = (type: ts.Type) => members(type).map(({ name }) => name).sort();

/** The names of all fields, with a question mark behind those that may be left out. */
export const fieldsOf = (type: ts.Type) => members(type).map(({ name, flags }) => (flags & ts.SymbolFlags.Optional ? `${name}?` : name)).sort();

/** What JSON calls the values of this type. */
export function kindsOf(type: ts.Type): string[] {
  const parts = type.isUnion() ? type.types : [type];
  const kinds = parts.flatMap((part) => {
    if (part.flags & ts.TypeFlags.Undefined) return [];
    if (part.flags & ts.TypeFlags.Null) return ['null'];
    if (part.flags & ts.TypeFlags.StringLike) return ['string'];
    if (part.flags & ts.TypeFlags.NumberLike) return ['number'];
    if (part.flags & ts.TypeFlags.BooleanLike) return ['boolean'];
    // What stands for any other text.
    if (part.isIntersection()) return ['string'];
    return [types.isArrayType(part) ? 'array' : 'object'];
  });
  return [...new Set(kinds)].sort();
}
