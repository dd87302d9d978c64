// Box-FDDP whose box QP finds its minimum.
//
// At every node the solver looks for the change x of the controls that is best within their bounds:
//
//   minimise  1/2 x' Quu x + Qu' x,   lb - u <= x <= ub - u
//
// Crocoddyl's BoxQP does so by projected Newton steps, and takes one that the projection has turned uphill for a good one: the
// bound of its line search changes sign with g'(x - xnew) (box-qp.cpp of 3.2.1). Now and then it ends above where it began. The
// line search then refuses all of the solver's step, and a joint at its speed limit goes beyond it. An active set has no such
// step. Gaps between the nodes are no reason to leave the bounds out, as Crocoddyl does.
#pragma once

#include <crocoddyl/core/solvers/box-fddp.hpp>

namespace dvp {

// x = argmin 1/2 x' H x + g' x, lower <= x <= upper, by a primal active set (Nocedal & Wright, Numerical Optimization, alg. 16.3).
struct BoxQp {
  Eigen::VectorXd x;
  std::vector<char> bound;           // per control: it stays at a bound
  Eigen::LLT<Eigen::MatrixXd> free;  // factor of H, the rows and columns of bound controls made the identity's

  // False where H is not positive definite.
  bool solve(const Eigen::MatrixXd &H, const Eigen::VectorXd &g, const Eigen::VectorXd &lower,
             const Eigen::VectorXd &upper) {
    const Eigen::Index n = g.size();
    const double enough = 1e-12 * g.lpNorm<Eigen::Infinity>();  // less than this pulls no control off its bound
    x = Eigen::VectorXd::Zero(n).cwiseMax(lower).cwiseMin(upper);
    slope_ = g + H * x;
    bound.resize(n);
    for (Eigen::Index i = 0; i < n; ++i)
      bound[i] = (x[i] <= lower[i] && slope_[i] > 0) || (x[i] >= upper[i] && slope_[i] < 0);
    // Every round makes the sum smaller or binds one more, so the end comes after a few; the count guards against rounding.
    for (Eigen::Index left = 20 * n;; --left) {
      H_ = H;
      step_ = -slope_;
      for (Eigen::Index i = 0; i < n; ++i) {
        if (!bound[i]) continue;
        H_.row(i).setZero();
        H_.col(i).setZero();
        H_(i, i) = 1;
        step_[i] = 0;
      }
      free.compute(H_);
      if (free.info() != Eigen::Success) return false;
      free.solveInPlace(step_);
      double share = 1;
      Eigen::Index hit = -1;
      for (Eigen::Index i = 0; i < n; ++i) {
        const double room = (step_[i] > 0 ? upper[i] : lower[i]) - x[i];
        if (std::abs(step_[i]) * share > std::abs(room)) share = room / step_[i], hit = i;
      }
      x += share * step_;
      slope_ = g + H * x;
      if (hit >= 0 && left > 0) {
        x[hit] = step_[hit] > 0 ? upper[hit] : lower[hit];
        bound[hit] = true;
        continue;
      }
      double pull = enough;
      Eigen::Index loose = -1;
      for (Eigen::Index i = 0; i < n; ++i) {
        const double inward = !bound[i] || lower[i] >= upper[i] ? 0 : x[i] <= lower[i] ? -slope_[i] : slope_[i];
        if (inward > pull) pull = inward, loose = i;
      }
      if (loose < 0 || left <= 0) return true;
      bound[loose] = false;
    }
  }

 private:
  Eigen::VectorXd slope_, step_;
  Eigen::MatrixXd H_;
};

class BoxSolver : public crocoddyl::SolverBoxFDDP {
 public:
  explicit BoxSolver(std::shared_ptr<crocoddyl::ShootingProblem> problem) : SolverBoxFDDP(problem) {}

  void computeGains(const std::size_t t) override {
    const auto &model = problem_->get_runningModels()[t];
    if (!model->get_has_control_limits()) return SolverFDDP::computeGains(t);
    // Crocoddyl regularises and tries again where it catches an exception.
    if (!best_.solve(Quu_[t], Qu_[t], model->get_u_lb() - us_[t], model->get_u_ub() - us_[t])) throw_pretty("backward_error");
    k_[t] = -best_.x;
    K_[t] = Qxu_[t].transpose();
    for (Eigen::Index i = 0; i < best_.x.size(); ++i)
      if (best_.bound[i]) K_[t].row(i).setZero();
    best_.free.solveInPlace(K_[t]);
  }

  void computeValueFunction(const std::size_t t, const std::shared_ptr<crocoddyl::ActionModelAbstract> &model) override {
    SolverBoxFDDP::computeValueFunction(t, model);
    // Crocoddyl's V_x leaves out what a control does on its way to a bound. With all of k:  V_x = Q_x - Q_xu k.
    Vx_[t].noalias() += K_[t].transpose() * Qu_[t];
    Vx_[t].noalias() -= Qxu_[t] * k_[t];
  }

  // How far the last step that was tried moves the states of nodes 0 to T-1.
  const std::vector<Eigen::VectorXd> &get_dx() const { return dx_; }

 private:
  BoxQp best_;
};

}  // namespace dvp
