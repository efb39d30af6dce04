// The sentences of one's own account: signing in, the second factor, invitations, keys and sessions.

export const fr = {
  "code.label": "Code à six chiffres",
  "code.hint": "Votre application d’authentification l’affiche et le change toutes les 30 secondes.",
  "code.recovery": "Code de secours",
  "code.recoveryHint": "Un de ceux que vous avez gardés à l’activation. Chacun ne sert qu’une fois.",

  "stepUp.title": "Confirmez que c’est bien vous",
  "stepUp.why": "Cette action demande votre mot de passe. Il n’est pas redemandé pendant quelques minutes.",
  "stepUp.give": "Confirmer",

  "fault.step_up_required": "Cette action demande de redonner votre mot de passe.",
  "fault.step_up_cancelled": "Le mot de passe n’a pas été donné : rien n’a changé.",
  "fault.second_factor_required": "Donnez aussi le code de votre application d’authentification.",
  "fault.second_factor_wrong": "Ce code n’est pas le bon, ou il a déjà servi. Attendez le suivant.",
};

type Sentences = Record<keyof typeof fr, string>;

export const en: Sentences = {
  "code.label": "Six-figure code",
  "code.hint": "Your authenticator app shows it and changes it every 30 seconds.",
  "code.recovery": "Recovery code",
  "code.recoveryHint": "One of those you kept when you set it up. Each works once.",

  "stepUp.title": "Confirm that it is you",
  "stepUp.why": "This needs your password. It is not asked for again for a few minutes.",
  "stepUp.give": "Confirm",

  "fault.step_up_required": "This needs your password again.",
  "fault.step_up_cancelled": "The password was not given: nothing changed.",
  "fault.second_factor_required": "Give the code of your authenticator app as well.",
  "fault.second_factor_wrong": "This code is not the right one, or was used already. Wait for the next.",
};
